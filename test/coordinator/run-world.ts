/** One run of the driver's world, from its first election to the checks at rest. */
import { World, type WorldOptions } from "./world.js";

/** One whole run: work and faults, then peace, then the checks. Returns what happened. */
export function runWorld(options: WorldOptions): World {
  const world = new World(options);
  const { random } = world;
  for (const peer of [...world.participants, ...world.clients]) for (const node of world.nodes) peer.attach(node);
  world.elect();
  world.runUntil(1_000);
  const busyMs = options.promise ? 4_000 : 12_000;
  for (let i = 0; i < options.transactions; i++) {
    world.after(random.int(0, busyMs), () => random.pick(world.clients).start());
  }
  const changes = random.int(1, options.promise ? 3 : 5);
  for (let i = 0; i < changes; i++) {
    world.after(random.int(200, busyMs), () => {
      if (random.chance(0.4)) world.crash(random.pick(world.nodes));
      world.elect();
    });
  }
  for (const participant of world.participants) {
    if (random.chance(options.promise ? 0.3 : 0.6))
      world.after(random.int(200, busyMs), () => participant.outage(options.promise ? 300 : 9_000));
  }
  world.runUntil(world.nowMs + busyMs + 1_000);
  world.faulty = false;
  // Paused branches go on when their participant attaches again.
  for (const participant of world.participants) participant.outage(20);
  if (world.leader === undefined) world.elect();
  world.runUntil(world.nowMs + 1_500);
  if (world.leader === undefined) world.elect();
  world.runUntil(world.nowMs + 20_000);
  world.replayHistory(40);
  world.runUntil(world.nowMs + 20_000);
  world.checkAtRest();
  return world;
}
