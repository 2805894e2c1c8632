// The last results, kept in this browser alone.
const STORE = "results";
const MOST = 8;

function database() {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("depthhmr", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
}

async function within(mode, work) {
  const opened = await database();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = opened.transaction(STORE, mode);
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    opened.close();
  }
}

// A browser that keeps nothing (private windows, no space) costs the history alone.
export async function remember(result) {
  try {
    await within("readwrite", (store) => store.add(result));
    const keys = await within("readonly", (store) => store.getAllKeys());
    for (const key of keys.slice(0, -MOST)) await within("readwrite", (store) => store.delete(key));
  } catch (error) {
    console.warn("this result is not kept", error);
  }
}

export async function remembered() {
  try {
    return (await within("readonly", (store) => store.getAll())).reverse();
  } catch {
    return [];
  }
}

export async function forgetAll() {
  await within("readwrite", (store) => store.clear());
}
