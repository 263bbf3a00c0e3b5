import { withPostgres } from "../testing/with-postgres.js";
import { describeParticipant } from "./participant.js";
import { postgresFixture } from "./postgres-fixture.js";

withPostgres(() => describeParticipant("postgres", postgresFixture));
