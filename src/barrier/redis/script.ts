/**
 * The scripts that Redis runs, each as a whole and without anybody in between.
 *
 * COMMIT_SCRIPT compares what is stored with what the caller decided upon, and only when nothing has changed does the user's work and
 * sets the mark. Redis rolls nothing back when a command fails, so the work is watched: a failure before the first write leaves
 * nothing; one after it leaves the mark `broken` on the branch, and no call of that branch runs anything ever again.
 */
import type { RedisArgument } from "./client.js";

/** Commands to run in this order; or the body of a Lua function, with its KEYS and ARGV. */
export type RedisCommand = readonly RedisArgument[];
export type RedisWork =
  readonly RedisCommand[] | { readonly lua: string; readonly keys?: readonly string[]; readonly args?: readonly RedisArgument[] };

/** Commands that write nothing. Any other counts as a write: what is missing here only makes a failure after it look worse than it is. */
const READS =
  "GET MGET GETRANGE STRLEN EXISTS TYPE TTL PTTL HGET HMGET HGETALL HKEYS HVALS HLEN HEXISTS LLEN LRANGE LINDEX SCARD SISMEMBER " +
  "SMISMEMBER SMEMBERS ZSCORE ZMSCORE ZCARD ZCOUNT ZRANGE ZRANGEBYSCORE ZRANK XLEN XRANGE XREVRANGE BITCOUNT GETBIT TIME PING";

/** The body of a function over a list of commands: ARGV holds, for each, the number of its arguments and then these. */
const RUN_COMMANDS = `
local replies, at = {}, 1
while at <= #ARGV do
  local n = tonumber(ARGV[at])
  local command = {}
  for i = 1, n do command[i] = ARGV[at + i] end
  replies[#replies + 1] = redis.call(unpack(command))
  at = at + n + 1
end
return replies`;

/** Number of arguments before the user's own. */
const OWN_KEYS = 3;
const OWN_ARGS = 10;

/**
 * KEYS: marks of the branch, state of the participant, index of its marks, then the work's.
 * ARGV: start, end, once, broken, epoch, floor as the caller read them ("": absent); slot, step, epoch to store or "", time of the gid;
 * then the work's. Returns one of: changed; done, value; failed, why; broken, why.
 */
const COMMIT_SCRIPT = (body: string): string => `
local found = redis.call('HMGET', KEYS[1], 'start', 'end', 'once', 'broken')
local state = redis.call('HMGET', KEYS[2], 'epoch', 'floor')
found[5], found[6] = state[1], state[2]
for i = 1, 6 do
  if (found[i] or '') ~= ARGV[i] then return {'changed'} end
end
local reads = {}
for name in string.gmatch('${READS}', '%u+') do reads[name] = true end
local writes, last = 0, ''
local watched = {}
for name, value in pairs(redis) do watched[name] = value end
local function count(name, reply)
  last = tostring(name)
  if not reads[string.upper(last)] and not (type(reply) == 'table' and reply.err) then writes = writes + 1 end
  return reply
end
watched.call = function(name, ...)
  last = tostring(name)
  return count(name, redis.call(name, ...))
end
watched.pcall = function(name, ...) return count(name, redis.pcall(name, ...)) end
local function work(KEYS, ARGV, redis, server)
${body}
end
local keys, args = {}, {}
for i = ${OWN_KEYS + 1}, #KEYS do keys[#keys + 1] = KEYS[i] end
for i = ${OWN_ARGS + 1}, #ARGV do args[#args + 1] = ARGV[i] end
local ok, value = pcall(work, keys, args, watched, watched)
if not ok or (type(value) == 'table' and value.err) then
  local why = type(value) == 'table' and value.err or tostring(value)
  if writes == 0 then return {'failed', why, last} end
  why = 'the work failed at ' .. last .. ' after ' .. writes .. ' writes: ' .. why
  redis.call('HSET', KEYS[1], 'broken', why)
  redis.call('ZADD', KEYS[3], ARGV[10], KEYS[1])
  return {'broken', why}
end
redis.call('HSET', KEYS[1], ARGV[7], ARGV[8])
redis.call('ZADD', KEYS[3], ARGV[10], KEYS[1])
if ARGV[9] ~= '' then redis.call('HSET', KEYS[2], 'epoch', ARGV[9]) end
return {'done', value}`;

/** KEYS: state, index. ARGV: floor, how many marks at most. Returns how many went. */
export const FORGET_SCRIPT = `
local floor = tonumber(redis.call('HGET', KEYS[1], 'floor') or '0')
if tonumber(ARGV[1]) > floor then redis.call('HSET', KEYS[1], 'floor', ARGV[1]) end
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, key in ipairs(gone) do
  redis.call('DEL', key)
  redis.call('ZREM', KEYS[2], key)
end
return #gone`;

export interface CommitArguments {
  readonly keys: readonly [marks: string, state: string, index: string];
  /** start, end, once, broken, epoch, floor. */
  readonly expected: readonly string[];
  readonly slot: string;
  readonly step: string;
  readonly epoch: string;
  readonly gidMs: number;
}

/** The EVAL command that commits a mark with its work. */
export function commitCommand(own: CommitArguments, work: RedisWork): readonly RedisArgument[] {
  const { lua, keys = [], args = [] } = "lua" in work ? work : asFunction(work);
  const ownArgs = [...own.expected, own.slot, own.step, own.epoch, String(own.gidMs)];
  return ["EVAL", COMMIT_SCRIPT(lua), String(OWN_KEYS + keys.length), ...own.keys, ...keys, ...ownArgs, ...args];
}

function asFunction(commands: readonly RedisCommand[]): Exclude<RedisWork, readonly RedisCommand[]> {
  return { lua: RUN_COMMANDS, args: commands.flatMap((command) => [String(command.length), ...command]) };
}

/** What is wrong with what a function returned; undefined: nothing. */
export function workProblem(work: unknown): string | undefined {
  const isArgument = (value: unknown): boolean => typeof value === "string" || Buffer.isBuffer(value);
  const all = (list: unknown): boolean => Array.isArray(list) && list.every(isArgument);
  if (Array.isArray(work)) {
    const at = (work as readonly unknown[]).findIndex((command) => !all(command) || (command as unknown[]).length === 0);
    return at < 0 ? undefined : `command ${at} must be a list of texts or Buffers, ["INCRBY", "stock:7", "-1"]`;
  }
  const { lua, keys = [], args = [] } = (work ?? {}) as { readonly lua?: unknown; readonly keys?: unknown; readonly args?: unknown };
  if (typeof lua !== "string") return "it must be a list of commands, or { lua, keys, args }";
  return all(keys) && all(args) ? undefined : "keys and args must be lists of texts or Buffers";
}
