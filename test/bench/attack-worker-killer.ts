/**
 * Loaded before the program (`BUN_OPTIONS=--preload=…`): SIGUSR2 ends one of its worker threads, as a crash of that thread
 * would. Nothing else in the program can be made to crash at will.
 */
const workers = new Set<Worker>();

globalThis.Worker = class extends Worker {
  constructor(...parameters: ConstructorParameters<typeof Worker>) {
    super(...parameters);
    workers.add(this);
    this.addEventListener('close', () => workers.delete(this));
  }
};

process.on('SIGUSR2', () => {
  const victims = [...workers];
  victims[Math.floor(Math.random() * victims.length)]?.terminate();
});
