import { kvFixture } from "./kv-fixture.js";
import { describeParticipant } from "./participant.js";

describeParticipant("kv", kvFixture);
