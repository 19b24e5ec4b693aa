/** A client of the load with a thread of its own. */
export function startWorker(url: URL): Worker {
  return new Worker(url, { type: "module" });
}

/** Resolves with the worker's next message; rejects if it throws instead. */
export function ask(worker: Worker, request: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.onmessage = (event) => resolve(event.data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
    worker.postMessage(request);
  });
}
