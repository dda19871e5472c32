// What the servers for Node.js read of the town's documents, each list by its index, and how they move money.
import { randomUUID } from "node:crypto";
import DataLoader from "dataloader";
import { MongoClient } from "mongodb";

const [uri, database] = process.argv.slice(2);
const client = new MongoClient(uri);
await client.connect();
const db = client.db(database);
const [users, posts, listings, conversations, memberships, messages, accounts, entries, payers, payments] = [
  ...["users", "posts", "listings", "conversations", "memberships", "messages", "accounts", "entries"],
  ...["peer_accounts", "peer_payments"],
].map((name) => db.collection(name));

const NEWEST = { created_at: -1, _id: -1 };
const DUPLICATE_KEY = 11000;
const EVERY = "*";

const money = (minorUnits, currency) => ({ amount: (minorUnits / 100).toFixed(2), currency });
const user = (d) => d && { id: d._id, handle: d.handle, displayName: d.display_name, avatarUrl: d.avatar_url };
const post = (d) => ({
  id: d._id,
  text: d.text,
  createdAt: d.created_at,
  editedAt: d.edited_at,
  authorId: d.author_id,
  likeCount: d.like_count,
  replyCount: d.reply_count,
  repostCount: d.repost_count,
  hashtags: d.hashtags,
});
const listing = (d) => ({
  id: d._id,
  title: d.title,
  description: d.description,
  createdAt: d.created_at,
  price: money(d.price.minor_units, d.price.currency),
  photos: d.photos,
  sellerId: d.seller_id,
});
const message = (d) => ({ id: d._id, text: d.text, createdAt: d.created_at, senderId: d.sender_id });

const loaded = (found, ids, shape) => {
  const known = new Map(found.map((d) => [d._id, shape(d)]));
  return ids.map((id) => known.get(id) ?? null);
};

export const usersByIds = async (ids) =>
  loaded(await users.find({ _id: { $in: ids } }, { projection: { tokens: 0 } }).toArray(), ids, user);

const past = (after) => {
  if (after == null) return {};
  const [time, id] = JSON.parse(Buffer.from(after, "base64url").subarray(5).toString());
  const at = new Date(time);
  return { created_at: { $lte: at }, $or: [{ created_at: { $lt: at } }, { created_at: at, _id: { $lt: id } }] };
};

export const newestPosts = async (first, after) => {
  const found = posts.find(past(after), { projection: { tokens: 0, client_id: 0 } });
  return { nodes: (await found.sort(NEWEST).limit(first).toArray()).map(post) };
};

export const newestListings = async (first) => {
  const found = listings.find({ tokens: EVERY, state: "ACTIVE" }, { projection: { tokens: 0 } });
  return { nodes: (await found.sort(NEWEST).limit(first).toArray()).map(listing) };
};

export const conversationsOf = async (userId, first) => {
  const latest = memberships.find({ user_id: userId }).sort({ last_at: -1, conversation_id: -1 }).limit(first);
  const ids = (await latest.toArray()).map((d) => d.conversation_id);
  const found = await conversations.find({ _id: { $in: ids } }).toArray();
  const shape = (d) => ({ id: d._id, title: d.title, messageCount: d.message_count });
  return { nodes: loaded(found, ids, shape) };
};

export const lastMessages = async (keys) => {
  const ranges = keys.map(({ id, messageCount, last }) => ({ conversation_id: id, seq: { $gt: messageCount - last } }));
  const of = new Map(keys.map(({ id }) => [id, []]));
  const found = await messages.find({ $or: ranges }).sort({ conversation_id: 1, seq: 1 }).toArray();
  for (const d of found) of.get(d.conversation_id).push(message(d));
  return keys.map(({ id }) => ({ nodes: of.get(id) }));
};

export const walletOf = async (ownerId, currency) => {
  const d = await accounts.findOne({ owner_id: ownerId, currency });
  return d && { id: d._id, available: money(d.posted - d.pending_out, d.currency) };
};

export const entriesOf = async (walletId, first) => {
  const shown = { state: { $in: ["PENDING", "POSTED"] }, kind: { $nin: ["NOTICE", "STATUS"] } };
  const found = await entries.find({ "legs.account_id": walletId, ...shown }).sort({ seq: -1 }).limit(first).toArray();
  return { nodes: found.map((d) => entry(d, walletId)) };
};

const entry = (d, walletId) => {
  const place = d.legs.findIndex((leg) => leg.account_id === walletId);
  const leg = d.legs[place];
  return {
    id: `leg_${d._id.split("_")[1]}_${place}`,
    createdAt: d.created_at,
    amount: money(leg.delta, leg.currency),
    counterpartyId: [d.sender_id, d.recipient_id].find((id) => id !== leg.owner_id) ?? null,
  };
};

// A transaction for each transfer, and the answer to its key kept in the same transaction.
export const transferFunds = async (payerId, { idempotencyKey, amount, to }) => {
  const minorUnits = Math.round(Number(amount.amount) * 100);
  const made = { _id: randomUUID(), payer_id: payerId, key: idempotencyKey, payee_id: to.userId, minor_units: minorUnits };
  try {
    return await client.withSession((session) => session.withTransaction(() => move(made, session)));
  } catch (error) {
    if (error.code !== DUPLICATE_KEY) throw error;
    const earlier = await payments.findOne({ payer_id: payerId, key: idempotencyKey });
    return success(earlier, await payers.findOne({ _id: payerId }), true);
  }
};

const move = async (made, session) => {
  const { payer_id: payerId, payee_id: payeeId, minor_units: minorUnits } = made;
  const enough = { _id: payerId, posted: { $gte: minorUnits } };
  const payer = await payers.findOneAndUpdate(enough, { $inc: { posted: -minorUnits } }, { session, returnDocument: "after" });
  if (payer === null) return { __typename: "InsufficientFunds", message: "There is not enough in the wallet" };
  await payers.updateOne({ _id: payeeId }, { $inc: { posted: minorUnits } }, { session });
  await payments.insertOne(made, { session });
  return success(made, payer, false);
};

const success = (made, payer, replayed) => ({
  __typename: "TransferFundsSuccess",
  replayed,
  transfer: { id: made._id, amount: money(made.minor_units, "EUR"), recipientId: made.payee_id },
  wallet: { id: payer.wallet_id, available: money(payer.posted, "EUR") },
});

export const loaders = () => ({
  users: new DataLoader(usersByIds),
  messages: new DataLoader(lastMessages, { cacheKeyFn: ({ id, last }) => `${id} ${last}` }),
});
