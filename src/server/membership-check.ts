/**
 * The settings' member list against the one in the data folder.
 *
 * Who votes is decided by the log and kept in the folder; settings only say it to a new folder. Where the voters are reached may change
 * between starts (another port, a new host name), and then the settings are right.
 */
import { QuorateError, type Logger } from "../base/index.js";
import type { NodeIdentity } from "../config/index.js";
import type { Recovered } from "../replica/index.js";
import type { Member } from "../zab/index.js";

/** Throws QUORATE_CONFIG when the two name different voters. */
export function adoptAddresses(recovered: Recovered, identity: NodeIdentity, logger: Logger): Recovered {
  const { epochs } = recovered.log;
  const { configuration } = epochs;
  const recorded = configuration.current.members;
  if (ids(recorded) !== ids(identity.members))
    throw new QuorateError(
      "QUORATE_CONFIG",
      `members names nodes ${ids(identity.members)}, but the data folder ${identity.dataDir} belongs to a cluster of nodes ${ids(recorded)}; ` +
        `give the recorded members, or an empty data folder`,
    );
  const moved = identity.members.filter((member, i) => !sameAddresses(member, recorded[i]));
  if (moved.length === 0) return recovered;
  logger.warn({ members: moved.map((member) => member.id) }, "addresses of members changed since the last start");
  const members = recorded.map((member, i) => ({ ...member, ...addressesOf(identity.members[i] ?? member) }));
  const current = { ...configuration.current, members };
  return { ...recovered, log: { ...recovered.log, epochs: { ...epochs, configuration: { ...configuration, current } } } };
}

function ids(members: readonly Member[]): string {
  return [...members]
    .map((member) => member.id)
    .sort((a, b) => a - b)
    .join(", ");
}

function sameAddresses(a: Member, b: Member | undefined): boolean {
  return a.peerAddress === b?.peerAddress && a.clientAddress === b.clientAddress;
}

function addressesOf(member: Member): Pick<Member, "peerAddress" | "clientAddress"> {
  return { peerAddress: member.peerAddress, clientAddress: member.clientAddress };
}
