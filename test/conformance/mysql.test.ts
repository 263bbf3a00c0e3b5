import { withMariadb } from "../testing/with-mariadb.js";
import { mysqlFixture } from "./mysql-fixture.js";
import { describeParticipant } from "./participant.js";

withMariadb(() => describeParticipant("mysql", mysqlFixture));
