declare module "*.css";
declare module "*.svg" {
  const url: string;
  export default url;
}
declare module "*.graphql" {
  const text: string;
  export default text;
}
declare const WORKER_URLS: { editor: string; json: string; graphql: string };
