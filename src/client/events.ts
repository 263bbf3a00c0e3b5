/**
 * What happens inside the client, for logs and metrics. Delivered synchronously; a listener must not throw and not wait.
 */
import type { Gid, NodeId } from "../base/index.js";
import type { BranchPhase } from "../coordinator/index.js";

export type ClientEvent =
  | { readonly kind: "endpoint-open"; readonly address: string; readonly node: NodeId }
  | { readonly kind: "endpoint-lost"; readonly address: string; readonly why: string }
  /** Requests go to this node from now on. `node` undefined: no established leader is known, requests wait. */
  | { readonly kind: "leader"; readonly node: NodeId | undefined; readonly epoch: number }
  /** An endpoint belongs to another cluster and is not used. */
  | { readonly kind: "foreign-cluster"; readonly address: string; readonly clusterId: string; readonly expected: string }
  | { readonly kind: "attached"; readonly participant: string; readonly address: string; readonly inDoubt: number }
  | { readonly kind: "detached"; readonly participant: string; readonly address: string; readonly why: string }
  /** A branch reached its outcome here. `inDoubtMs`: since it voted yes, or since it was found. */
  | {
      readonly kind: "branch-settled";
      readonly participant: string;
      readonly gid: Gid;
      readonly branch: string;
      readonly outcome: "commit" | "rollback";
      readonly inDoubtMs: number | undefined;
      /** The participant had to ask; otherwise it was told. */
      readonly byInquiry: boolean;
    }
  | {
      readonly kind: "branch-heuristic";
      readonly participant: string;
      readonly gid: Gid;
      readonly branch: string;
      readonly outcome: string;
      readonly detail: string;
    }
  /** The participant could not do a call now; it will be called again. */
  | {
      readonly kind: "call-failed";
      readonly participant: string;
      readonly gid: Gid;
      readonly branch: string;
      readonly phase: BranchPhase;
      readonly message: string;
    }
  | { readonly kind: "scan-failed"; readonly participant: string; readonly message: string }
  /** The participant could not drop the outcomes of gids that the cluster has forgotten; it is asked again later. */
  | { readonly kind: "forget-failed"; readonly participant: string; readonly message: string };

export type EventListener = (event: ClientEvent) => void;
