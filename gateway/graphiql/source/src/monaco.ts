// Knows where the editor's workers are: files of this origin, as the page's content security policy asks.
self.MonacoEnvironment = {
  getWorker: (_id: string, label: string) =>
    new Worker(label === "json" || label === "graphql" ? WORKER_URLS[label] : WORKER_URLS.editor, { name: label }),
};

export {};
