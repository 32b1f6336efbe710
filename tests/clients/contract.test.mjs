// The /api dialect where the published client does not look closely: statuses, defaults, bodies, and what happens when clients go.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Sandbox, Usage } from "@opencomputer/sdk";
import { Image, Snapshots } from "@opencomputer/sdk/node";

const limit = { timeout: 600_000 };
const server = process.env.OPENCOMPUTER_API_URL;
const key = process.env.OPENCOMPUTER_API_KEY;
const unknown = "/api/sandboxes/sb-00000000";
const made = [];
const call = async (method, path, body, options = {}) => {
  const answer = await fetch(new URL(path, server), {
    method,
    headers: { "X-API-Key": key, ...options.headers },
    body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
    signal: options.signal,
  });
  const text = await answer.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: answer.status, headers: answer.headers, text, json };
};
const refused = async (status, method, path, body) => {
  const answer = await call(method, path, body);
  assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`);
  assert.equal(typeof answer.json?.error, "string", `${method} ${path}: ${answer.text}`);
  return answer.json;
};
const create = async (options = {}) => {
  const answer = await call("POST", "/api/sandboxes", options);
  assert.equal(answer.status, 201, answer.text);
  made.push(answer.json.sandboxID);
  return answer.json;
};
const pathOf = (box) => `/api/sandboxes/${box.sandboxID}`;
const run = async (box, cmd, more = {}) => {
  const answer = await call("POST", `${pathOf(box)}/exec/run`, { cmd, ...more });
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
};
const until = async (condition, what, milliseconds = 20_000) => {
  for (const end = Date.now() + milliseconds; !(await condition()); await new Promise((resolve) => setTimeout(resolve, 100))) {
    assert.ok(Date.now() < end, `${what}: not within ${milliseconds} ms`);
  }
};

after(() => Promise.all(made.map((id) => call("DELETE", `/api/sandboxes/${id}`))));

describe("defaults", limit, () => {
  it("are the dialect's", async () => {
    const box = await create({ metadata: { a: "b" }, alias: "named" });
    assert.deepEqual([box.status, box.templateID, box.memoryMB, box.cpuCount, box.alias, box.metadata], ["running", "base", 1024, 1, "named", { a: "b" }]);
    assert.ok(Math.abs(Date.parse(box.endAt) - Date.parse(box.startedAt) - 300_000) < 30_000, JSON.stringify(box));
    assert.equal((await run(box, "grep -rxh 128 /sys/fs/cgroup --include=pids.max | head -n 1")).stdout.trim(), "128");
    assert.equal((await run(box, "pwd; id -u; id -g")).stdout, "/home/sandbox\n1000\n1000\n");
    const listed = (await call("GET", "/api/sandboxes")).json.find((one) => one.sandboxID === box.sandboxID);
    assert.deepEqual([listed.status, listed.template, typeof listed.token, typeof listed.region, typeof listed.workerID, listed.tags], ["running", "base", "string", "string", "string", {}]);
  });

  it("leave what never ends", async () => {
    const box = await create({ timeout: 0, memoryMB: 2048 });
    assert.deepEqual([box.endAt, box.memoryMB, box.cpuCount], [undefined, 2048, 2]);
    const sized = await create({ cpuCount: 2 });
    assert.equal(sized.memoryMB, 2048);
  });
});

describe("statuses", limit, () => {
  let box;
  before(async () => {
    box = await create();
  }, limit);

  it("of what is not there", async () => {
    for (const [method, below, body] of [
      ["GET", ""], ["DELETE", ""], ["POST", "/exec/run", { cmd: "true" }], ["POST", "/exec/run", { cmd: "" }], ["POST", "/exec/run-async", { cmd: "true" }], ["POST", "/exec", { cmd: "true" }],
      ["GET", "/exec"], ["GET", "/files?path=/etc/hostname"], ["PUT", "/files?path=/tmp/x", "x"], ["POST", "/hibernate"], ["POST", "/wake", {}],
      ["POST", "/checkpoints", { name: "a" }], ["GET", "/checkpoints"], ["POST", "/timeout", { timeout: 1 }], ["PUT", "/limits", { memoryMB: 1024 }],
      ["POST", "/scale", { memoryMB: 1024 }], ["GET", "/autoscale"], ["GET", "/scaling-lock"], ["GET", "/allowed-hosts"], ["GET", "/tags"], ["POST", "/preview", { port: 80 }],
      ["POST", "/reboot"], ["POST", "/power-cycle"], ["POST", "/pty", {}], ["GET", "/usage"],
    ]) {
      await refused(404, method, unknown + below, body);
    }
    await refused(404, "POST", "/api/sandboxes/from-checkpoint/00000000-0000-0000-0000-000000000000", {});
    await refused(404, "GET", `${pathOf(box)}/exec/00000000/result`);
    await refused(404, "DELETE", `${pathOf(box)}/preview/8080`);
    await refused(404, "GET", "/api/snapshots/none");
    assert.match((await refused(404, "POST", "/api/sandboxes", { templateID: "none" })).error, /template not found: none/);
  });

  it("of what is wrong", async () => {
    for (const [path, body] of [
      ["/api/sandboxes", "{"], ["/api/sandboxes", { memoryMB: 99_999_999 }], ["/api/sandboxes", { cpuCount: 2, memoryMB: 1024 }], ["/api/sandboxes", { diskMB: 1 }], ["/api/sandboxes", { timeout: -1 }],
      [`${pathOf(box)}/exec/run`, {}], [`${pathOf(box)}/scale`, { memoryMB: -1 }], [`${pathOf(box)}/scale`, {}], [`${pathOf(box)}/timeout`, { timeout: -1 }], [`${pathOf(box)}/preview`, {}],
      [`${pathOf(box)}/wake`, {}], [`${pathOf(box)}/checkpoints`, {}],
    ]) {
      await refused(400, "POST", path, body);
    }
    await refused(500, "GET", `${pathOf(box)}/files?path=/none`);
    await refused(400, "GET", `${pathOf(box)}/files`);
    await refused(400, "GET", `${pathOf(box)}/files/download?path=/tmp/x`);
    // A program or a folder that is not there is no missing sandbox.
    await refused(400, "POST", `${pathOf(box)}/exec/run`, { cmd: "no-such-program" });
    await refused(400, "POST", `${pathOf(box)}/exec/run-async`, { cmd: "no-such-program", args: ["a"] });
    await refused(400, "POST", `${pathOf(box)}/exec`, { cmd: "no-such-program" });
    await refused(400, "POST", `${pathOf(box)}/exec/run`, { cmd: "pwd", cwd: "/none" });
  });

  it("of what is done twice", async () => {
    const session = (await call("POST", `${pathOf(box)}/exec`, { cmd: "sleep", args: ["100"] })).json.sessionID;
    for (let i = 0; i < 2; i++) assert.equal((await call("POST", `${pathOf(box)}/exec/${session}/kill`, {})).status, 204);
    assert.deepEqual([(await call("POST", `${pathOf(box)}/preview`, { port: 80 })).status, (await call("POST", `${pathOf(box)}/preview`, { port: 80 })).status], [201, 200]);
    const twice = await Promise.all([call("POST", `${pathOf(box)}/hibernate`), call("POST", `${pathOf(box)}/hibernate`)]);
    assert.deepEqual(twice.map((one) => [one.status, one.json.status]), [[200, "hibernated"], [200, "hibernated"]]);
    const asleep = (await call("GET", pathOf(box))).json;
    assert.deepEqual([asleep.status, asleep.token, asleep.workerID], ["hibernated", undefined, undefined]);
    assert.equal((await call("POST", `${pathOf(box)}/hibernate`)).status, 200);
    await refused(400, "POST", `${pathOf(box)}/checkpoints`, { name: "asleep" });
    assert.equal((await call("POST", `${pathOf(box)}/wake`, {})).json.status, "running");
  });

  it("of checkpoints that come together", async () => {
    const rows = await Promise.all(["same", "same", "other"].map((name) => call("POST", `${pathOf(box)}/checkpoints`, { name, kind: "disk_only" })));
    assert.deepEqual(rows.map((row) => row.status).sort(), [201, 201, 409]);
    assert.deepEqual((await call("GET", `${pathOf(box)}/checkpoints`)).json.map((row) => row.name).sort(), ["other", "same"]);
  });

  it("of what is over", async () => {
    const gone = await create({ envs: { INHERITED: "yes", REPLACED: "no" }, metadata: { of: "parent" } });
    const row = (await call("POST", `${pathOf(gone)}/checkpoints`, { name: "kept" })).json;
    assert.equal((await call("DELETE", pathOf(gone))).status, 204);
    assert.equal((await call("GET", pathOf(gone))).json.status, "stopped");
    for (const [method, below, body] of [["POST", "/exec/run", { cmd: "true" }], ["GET", "/files?path=/etc/hostname"], ["POST", "/hibernate"], ["POST", "/preview", { port: 80 }]]) {
      await refused(410, method, pathOf(gone) + below, body);
    }
    // Checkpoints outlive their sandbox, until they are deleted.
    assert.deepEqual((await call("GET", `${pathOf(gone)}/checkpoints`)).json.map((one) => one.id), [row.id]);
    const fork = await call("POST", `/api/sandboxes/from-checkpoint/${row.id}`, { envs: { REPLACED: "yes" }, timeout: 0 });
    assert.equal(fork.status, 201, fork.text);
    made.push(fork.json.sandboxID);
    assert.equal((await run(fork.json, 'echo "$INHERITED $REPLACED"')).stdout, "yes yes\n");
    assert.equal((await call("DELETE", `${pathOf(gone)}/checkpoints/${row.id}`)).status, 204);
    await refused(404, "DELETE", `${pathOf(gone)}/checkpoints/${row.id}`);
    await refused(404, "POST", `/api/sandboxes/from-checkpoint/${row.id}`, {});
  });
});

describe("commands", limit, () => {
  let box;
  before(async () => {
    box = await create();
  }, limit);
  const running = async (mark) => (await run(box, `pgrep -fc "[s]leep ${mark}" || true`)).stdout.trim();

  it("are lines for the shell where they cannot be programs", async () => {
    assert.equal((await run(box, "echo a  b")).stdout, "a b\n");
    assert.equal((await run(box, "echo a; echo b")).stdout, "a\nb\n");
    const begun = (await call("POST", `${pathOf(box)}/exec/run-async`, { cmd: "echo a && echo b" })).json;
    let result = begun;
    while (result.execId ?? result.running) result = (await call("GET", `${pathOf(box)}/exec/${begun.execId}/result`)).json;
    assert.equal(result.stdout, "a\nb\n");
    const sdk = await Sandbox.connect(box.sandboxID);
    const said = [];
    const session = await sdk.exec.background("echo in the background", { onStdout: (data) => said.push(Buffer.from(data).toString()) });
    assert.equal(await session.done, 0);
    assert.equal(said.join(""), "in the background\n");
  });

  it("begin where relative paths do", async () => {
    assert.equal((await call("PUT", `${pathOf(box)}/files?path=relative.txt`, "text")).status, 204);
    assert.equal((await run(box, "cat relative.txt")).stdout, "text");
  });

  it("end with the client that waits for them", async () => {
    const leaving = new AbortController();
    const waiting = call("POST", `${pathOf(box)}/exec/run`, { cmd: "sleep", args: ["7171"], timeout: 100 }, { signal: leaving.signal }).catch((gone) => gone.name);
    await until(async () => (await running(7171)) === "1", "the command runs");
    leaving.abort();
    assert.equal(await waiting, "AbortError");
    await until(async () => (await running(7171)) === "0", "the command ends");
  });

  it("go on, and are asked after", async () => {
    const begun = await call("POST", `${pathOf(box)}/exec/run-async`, { cmd: "sh", args: ["-c", "echo one; sleep 1.5; echo two; exit 4"] });
    assert.equal(begun.status, 202);
    assert.equal(begun.json.running, true);
    let result;
    let asked = 0;
    const started = Date.now();
    do {
      result = (await call("GET", `${pathOf(box)}/exec/${begun.json.execId}/result`)).json;
      asked++;
    } while (result.running);
    assert.deepEqual([result.exitCode, result.stdout, result.stderr], [4, "one\ntwo\n", ""]);
    assert.ok(asked <= (Date.now() - started) / 400 + 2, `it was asked ${asked} times: each question is held`);
    assert.equal((await call("GET", `${pathOf(box)}/exec/${begun.json.execId}/result`)).json.exitCode, 4);
    await refused(404, "GET", `/api/sandboxes/${made[0]}/exec/${begun.json.execId}/result`);
  });

  it("tell when they have written too much", async () => {
    const begun = await call("POST", `${pathOf(box)}/exec/run-async`, { cmd: "head -c 1500000 /dev/zero | tr '\\0' x" });
    let result = begun.json;
    while (result.execId ?? result.running) result = (await call("GET", `${pathOf(box)}/exec/${begun.json.execId}/result`)).json;
    assert.deepEqual([result.truncated, result.stdout.length], [true, 1 << 20]);
  });

  it("end when nobody has come back to them", async () => {
    const session = (await call("POST", `${pathOf(box)}/exec`, { cmd: "sleep", args: ["7272"], maxRunAfterDisconnect: 1 })).json;
    const socket = new WebSocket(`${server.replace(/^http/, "ws")}${pathOf(box)}/exec/${session.sessionID}?api_key=${key}`);
    await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));
    assert.equal((await call("GET", `${pathOf(box)}/exec`)).json.find((one) => one.sessionID === session.sessionID).attachedClients, 1);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal(await running(7272), "1");
    socket.close();
    await until(async () => (await running(7272)) === "0", "the session ends");
  });
});

describe("being idle", limit, () => {
  it("is not what moves bytes, and what does not is put to sleep", async () => {
    const box = await create({ timeout: 10 });
    const sdk = await Sandbox.connect(box.sandboxID);
    const shell = await sdk.exec.start("cat");
    for (let i = 0; i < 14; i++) {
      shell.sendStdin("tick\n");
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
    assert.equal(await sdk.isRunning(), true);
    await sdk.exec.run("sleep 13"); // nor is what is waited for
    assert.equal(await sdk.isRunning(), true);
    await until(async () => !(await sdk.isRunning()), "it sleeps", 60_000);
    assert.notEqual(await shell.done, 0); // no exit code is made up: the client says -1
    const again = await sdk.exec.attach(shell.sessionId, {});
    assert.equal(await sdk.isRunning(), true);
    await again.kill();
    await again.done;
  });
});

describe("browsers", limit, () => {
  it("are told what a page may do, before they have the key", async () => {
    const asked = await fetch(new URL("/api/sandboxes", server), {
      method: "OPTIONS", headers: { Origin: "https://page.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-api-key" },
    });
    assert.equal(asked.status, 204);
    assert.equal(asked.headers.get("access-control-allow-origin"), "*");
    assert.match(asked.headers.get("access-control-allow-headers"), /x-api-key/i);
    assert.match(asked.headers.get("access-control-allow-methods"), /DELETE/);
    const answer = await call("GET", "/api/sandboxes", undefined, { headers: { Origin: "https://page.example", "X-Request-Id": "mine-1" } });
    assert.deepEqual([answer.status, answer.headers.get("access-control-allow-origin"), answer.headers.get("x-request-id")], [200, "*", "mine-1"]);
    assert.deepEqual([(await fetch(new URL("/api/sandboxes", server))).status, (await fetch(new URL("/api/sandboxes?api_key=wrong", server))).status], [401, 403]);
  });
});

describe("signed URLs", limit, () => {
  it("end, and are good for one thing", async () => {
    const sdk = await Sandbox.connect((await create()).sandboxID);
    const short = await sdk.uploadUrl("/tmp/short", { expiresIn: 1 });
    const other = await sdk.downloadUrl("/tmp/short");
    assert.equal((await fetch(other.replace("/download?", "/upload?"), { method: "PUT", body: "x" })).status, 403);
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    assert.equal((await fetch(short, { method: "PUT", body: "late" })).status, 403);
    assert.equal((await fetch(other.replace(/signature=[^&]*/, ""))).status, 400);
  });
});

describe("what images are built in", limit, () => {
  it("is nobody's", async () => {
    const name = `hidden-${Date.now()}`;
    const image = Image.base().runCommands("hostname", "sleep 2");
    const lines = [];
    const building = new Snapshots().create({ name, image: image.env({ MARK: name }), onBuildLogs: (line) => lines.push(line) });
    await until(() => lines.some((line) => /^sb-/.test(line)), "the build runs");
    const id = lines.find((line) => /^sb-/.test(line)).trim();
    assert.ok(!(await call("GET", "/api/sandboxes")).text.includes(id));
    await refused(404, "GET", `/api/sandboxes/${id}`);
    await refused(404, "POST", `/api/sandboxes/${id}/exec/run`, { cmd: "true" });
    const built = await building;
    await refused(404, "GET", `/api/sandboxes/${id}/checkpoints`);
    assert.ok(!(await call("GET", "/api/usage")).text.includes(id));
    const fork = await call("POST", `/api/sandboxes/from-checkpoint/${built.checkpointId}`, {});
    assert.equal(fork.status, 201, fork.text);
    made.push(fork.json.sandboxID);
    await run(fork.json, "true");
    await until(async () => (await call("GET", `${pathOf(fork.json)}/usage`)).json.totals.uptimeSeconds > 0, "its use is counted");
    await new Snapshots().delete(name);
  });
});

describe("load", { ...limit, concurrency: true }, () => {
  const hold = (sdk, megabytes) => sdk.exec.start("python3", { args: ["-c", `import time; held = bytearray(${megabytes} << 20); held[::4096] = b"x" * len(held[::4096]); print("held", flush=True); time.sleep(600)`] });

  it("makes a sandbox larger that asks for it", async () => {
    const box = await create({ memoryMB: 256, timeout: 0 });
    const sdk = await Sandbox.connect(box.sandboxID);
    await sdk.setAutoscale({ enabled: true, minMemoryMB: 256, maxMemoryMB: 512 });
    const session = await hold(sdk, 175);
    await until(async () => (await run(box, "free -m | awk '/Mem/{print $3}'")).stdout > 0, "it answers");
    // A minute above three quarters.
    await until(async () => Number((await run(box, "curl -s http://169.254.169.254/v1/limits | sed 's/.*memLimit\":\\([0-9]*\\).*/\\1/'")).stdout) > 300 << 20, "it is larger", 300_000);
    assert.equal((await sdk.getAutoscale()).enabled, true);
    assert.equal((await sdk.exec.list()).find((one) => one.sessionID === session.sessionId).running, true);
    await session.kill();
  });

  it("is counted as memory that was used", async () => {
    const box = await create({ timeout: 0 });
    const sdk = await Sandbox.connect(box.sandboxID);
    await hold(sdk, 200);
    const usage = new Usage(server, key);
    await until(async () => (await usage.forSandbox(box.sandboxID)).totals.memoryUsedPeakMb > 200, "it is seen", 120_000);
    await until(async () => (await usage.forSandbox(box.sandboxID)).totals.memoryUsedGbSeconds > 0.5, "it is counted", 120_000);
    const { totals } = await usage.forSandbox(box.sandboxID);
    assert.ok(totals.memoryUsedGbSeconds <= totals.memoryAllocatedGbSeconds, JSON.stringify(totals));
  });
});
