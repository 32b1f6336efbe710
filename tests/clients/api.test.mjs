// The published client of the /api dialect, unmodified, against a running server: OPENCOMPUTER_API_URL and OPENCOMPUTER_API_KEY say where.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, describe, it } from "node:test";
import { Sandbox, Tags, Usage } from "@opencomputer/sdk";
import { Image, Snapshots } from "@opencomputer/sdk/node";

const limit = { timeout: 600_000 };
const made = [];
const create = async (options = {}) => {
  const sandbox = await Sandbox.create(options);
  made.push(sandbox);
  return sandbox;
};

after(async () => {
  await Promise.all(made.map((sandbox) => sandbox.kill().catch(() => {})));
});

describe("a sandbox", limit, () => {
  let box;
  before(async () => {
    box = await create({ envs: { GREETING: "hello" }, metadata: { purpose: "test" } });
  }, limit);

  it("is running, and is found again", async () => {
    assert.match(box.sandboxId, /^sb-[0-9a-f]{8}$/);
    assert.equal(await box.isRunning(), true);
    const again = await Sandbox.connect(box.sandboxId);
    assert.equal(again.status, "running");
  });

  it("runs commands", async () => {
    const result = await box.exec.run('echo "$GREETING"; echo oops >&2; exit 3');
    assert.deepEqual(result, { exitCode: 3, stdout: "hello\n", stderr: "oops\n" });
    const own = await box.exec.run("echo $A; pwd", { env: { A: "b" }, cwd: "/tmp" });
    assert.equal(own.stdout, "b\n/tmp\n");
  });

  it("runs commands that take longer than an answer is held", async () => {
    const result = await box.exec.run("echo first; sleep 2; echo second");
    assert.equal(result.stdout, "first\nsecond\n");
  });

  it("ends commands at their timeout", async () => {
    const result = await box.exec.run("sleep 60", { timeout: 1 });
    assert.equal(result.exitCode, -1);
    assert.match(result.stderr, /Process timed out/);
  });

  it("keeps files", async () => {
    await box.files.write("/workspace/deep/er/file.txt", "content\n");
    assert.equal(await box.files.read("/workspace/deep/er/file.txt"), "content\n");
    const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7) & 255);
    await box.files.write("bytes.bin", bytes);
    assert.deepEqual(await box.files.readBytes("/home/sandbox/bytes.bin"), bytes);
    await box.files.makeDir("/workspace/made");
    const entries = await box.files.list("/workspace");
    assert.ok(entries.some((entry) => entry.name === "made" && entry.isDir && entry.path === "/workspace/made"));
    assert.equal(await box.files.exists("/workspace/deep/er/file.txt"), true);
    assert.equal(await box.files.exists("/workspace/none"), false);
    await box.files.write("/tmp/empty", "");
    assert.equal(await box.files.read("/tmp/empty"), "");
    await box.files.remove("/workspace/deep");
    assert.equal(await box.files.exists("/workspace/deep/er/file.txt"), false);
    await assert.rejects(box.files.read("/nowhere"), /500/);
  });

  it("gives URLs for files", async () => {
    const up = await box.uploadUrl("/tmp/signed.txt");
    assert.equal((await fetch(up, { method: "PUT", body: "signed" })).status, 204);
    const down = await box.downloadUrl("/tmp/signed.txt");
    assert.equal(await (await fetch(down)).text(), "signed");
    assert.equal((await fetch(down.replace("signed.txt", "other.txt"))).status, 403);
  });

  it("streams commands, with input and signals", async () => {
    const chunks = [];
    const session = await box.exec.background("cat", { onStdout: (data) => chunks.push(Buffer.from(data)) });
    session.sendStdin("one\n");
    while (Buffer.concat(chunks).toString() !== "one\n") await new Promise((resolve) => setTimeout(resolve, 20));
    assert.ok((await box.exec.list()).some((one) => one.sessionID === session.sessionId && one.running));
    await session.kill(15);
    assert.notEqual(await session.done, 0);
    await box.exec.kill(session.sessionId);
  });

  it("replays what a session has written", async () => {
    const session = await box.exec.start("sh", { args: ["-c", "echo early; read x; echo got $x"] });
    session.close();
    const out = [];
    let mark = -1;
    const again = await box.exec.attach(session.sessionId, {
      onStdout: (data) => out.push(Buffer.from(data).toString()),
      onScrollbackEnd: () => (mark = out.join("").length),
    });
    again.sendStdin("this\n");
    assert.equal(await again.done, 0);
    assert.equal(out.join(""), "early\ngot this\n");
    assert.ok(mark === 0 || mark === 6, `the mark came after ${mark} bytes`);
  });

  it("keeps a shell, 200 runs without a hang", async () => {
    const shell = await box.exec.shell();
    await shell.run("cd /tmp; export KEPT=yes");
    for (let i = 0; i < 200; i++) {
      const result = await shell.run(`echo ${i} $KEPT $PWD; echo e${i} >&2; (exit ${i % 7})`);
      assert.deepEqual(result, { exitCode: i % 7, stdout: `${i} yes /tmp\n`, stderr: `e${i}\n` });
    }
    await shell.close();
  });

  it("has terminals", async () => {
    let text = "";
    const terminal = await box.pty.create({ cols: 100, rows: 30, onOutput: (data) => (text += Buffer.from(data).toString()) });
    while (!text.includes("$")) await new Promise((resolve) => setTimeout(resolve, 20)); // create does not wait for the socket
    terminal.send("stty size; echo $TERM; exit\n");
    while (!/30 100[\s\S]*xterm-256color/.test(text)) await new Promise((resolve) => setTimeout(resolve, 20));
    terminal.close();
  });
});

describe("hibernation and checkpoints", limit, () => {
  it("keeps memory, and wakes by itself", async () => {
    const box = await create();
    await box.exec.run("echo in memory > /tmp/kept; sleep 1000 >/dev/null 2>&1 &");
    await box.hibernate();
    assert.equal(await box.isRunning(), false);
    assert.equal((await box.exec.run("cat /tmp/kept; pgrep -c sleep")).stdout, "in memory\n1\n");
    await box.hibernate();
    await box.wake({ timeout: 600 });
    assert.equal(await box.isRunning(), true);
    await box.setTimeout(0);
  });

  it("goes back to checkpoints, and forks from them", async () => {
    const box = await create({ envs: { NAME: "parent" } });
    await box.files.write("/workspace/state", "one");
    const row = await box.createCheckpoint("first");
    assert.match(row.id, /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
    await assert.rejects(box.createCheckpoint("first"), /409/);
    await box.files.write("/workspace/state", "two");
    assert.equal((await box.listCheckpoints()).length, 1);
    const fork = await Sandbox.createFromCheckpoint(row.id, { timeout: 0 });
    made.push(fork);
    assert.equal(await fork.files.read("/workspace/state"), "one");
    assert.equal((await fork.exec.run("echo $NAME")).stdout, "parent\n");
    assert.equal(await box.files.read("/workspace/state"), "two");
    await box.restoreCheckpoint(row.id);
    assert.equal(await box.files.read("/workspace/state"), "one");
    await box.deleteCheckpoint(row.id);
    assert.equal((await box.listCheckpoints()).length, 0);
  });
});

describe("patches and retention", limit, () => {
  it("run once in what is made of a checkpoint, and when it wakes", async () => {
    const box = await create();
    const row = await box.createCheckpoint("patched");
    const first = await Sandbox.createCheckpointPatch(row.id, { script: "echo one >> /workspace/patched", description: "the first" });
    assert.deepEqual([first.patch.checkpointId, first.patch.sequence, first.patch.strategy], [row.id, 1, "on_wake"]);
    const fork = await Sandbox.createFromCheckpoint(row.id);
    made.push(fork);
    assert.equal(await fork.files.read("/workspace/patched"), "one\n");
    const second = await Sandbox.createCheckpointPatch(row.id, { script: "echo two >> /workspace/patched; echo broken >&2; exit 7" });
    await fork.hibernate();
    await fork.wake();
    assert.equal(await fork.files.read("/workspace/patched"), "one\ntwo\n");
    const told = await (await fetch(`${process.env.OPENCOMPUTER_API_URL}/api/sandboxes/${fork.sandboxId}`, {
      headers: { "X-API-Key": process.env.OPENCOMPUTER_API_KEY },
    })).json();
    assert.match(told.patchError, /patch 2: exit code 7: broken/);
    assert.deepEqual((await Sandbox.listCheckpointPatches(row.id)).map((patch) => patch.sequence), [1, 2]);
    await Sandbox.deleteCheckpointPatch(row.id, second.patch.id);
    await Sandbox.deleteCheckpointPatch(row.id, second.patch.id);
    assert.equal((await Sandbox.listCheckpointPatches(row.id)).length, 1);
    await assert.rejects(Sandbox.createCheckpointPatch(row.id, { script: "" }), /400/);
    await box.deleteCheckpoint(row.id);
    await assert.rejects(Sandbox.listCheckpointPatches(row.id), /404/);
  });

  it("keeps as many checkpoints as it is told", async () => {
    const box = await create();
    await box.createCheckpoint("full");
    for (const name of ["a", "b", "c"]) {
      await box.createCheckpoint(name, { kind: "disk_only", retentionPolicy: { mode: "delete_oldest", maxCount: 2 } });
    }
    assert.deepEqual((await box.listCheckpoints()).map((row) => row.name).sort(), ["b", "c", "full"]);
  });
});

describe("sizes", limit, () => {
  it("scales up and down", async () => {
    const box = await create({ memoryMB: 1024 });
    assert.equal((await box.scale({ memoryMB: 2048 })).memoryMB, 2048);
    assert.ok(Number((await box.exec.run("free -m | awk '/Mem/{print $2}'")).stdout) > 1500);
    assert.equal((await box.scale({ memoryMB: 1024 })).memoryMB, 1024);
  });
});

describe("its power and size", limit, () => {
  it("is started anew on its disks", async () => {
    const box = await create();
    for (const restart of ["reboot", "powerCycle"]) {
      await box.files.write("/workspace/kept", restart);
      await box.exec.run("echo lost > /dev/shm/memory; sleep 1000 >/dev/null 2>&1 &");
      await box[restart]();
      assert.equal(await box.isRunning(), true);
      assert.equal(await box.files.read("/workspace/kept"), restart);
      assert.equal((await box.exec.run("cat /dev/shm/memory; pgrep -c sleep")).stdout, "0\n");
    }
  });

  it("can be locked, and follows its load", async () => {
    const box = await create({ memoryMB: 1024 });
    const initial = await box.getAutoscale();
    assert.deepEqual([initial.sandboxID, initial.enabled], [box.sandboxId, false]);
    const set = await box.setAutoscale({ enabled: true, minMemoryMB: 1024, maxMemoryMB: 2048 });
    assert.deepEqual(set, { sandboxID: box.sandboxId, enabled: true, minMemoryMB: 1024, maxMemoryMB: 2048 });
    assert.deepEqual(await box.getAutoscale(), set);
    await assert.rejects(box.setAutoscale({ enabled: true, minMemoryMB: 4096, maxMemoryMB: 1024 }), /400/);
    assert.equal((await box.scale({ memoryMB: 1152 })).autoscaleDisabled, true);
    assert.equal((await box.getAutoscale()).enabled, false);
    await box.setAutoscale({ enabled: true, minMemoryMB: 1024, maxMemoryMB: 2048 });
    assert.deepEqual(await box.setScalingLock(true), { sandboxID: box.sandboxId, locked: true });
    assert.equal((await box.getAutoscale()).enabled, false);
    await assert.rejects(box.scale({ memoryMB: 2048 }), { code: "scaling_locked" });
    await assert.rejects(box.setAutoscale({ enabled: true, minMemoryMB: 1024, maxMemoryMB: 2048 }), { code: "scaling_locked" });
    await box.setScalingLock(false);
    assert.deepEqual(await box.getScalingLock(), { sandboxID: box.sandboxId, locked: false });
    assert.equal((await box.scale({ memoryMB: 1024 })).memoryMB, 1024);
  });
});

describe("the fleet", limit, () => {
  it("tells hosts and tags", async () => {
    const box = await create();
    assert.deepEqual(await box.getAllowedHosts(), { sandboxID: box.sandboxId, egressAllowlist: [], perSecretAllowedHosts: {} });
    const tags = new Tags(process.env.OPENCOMPUTER_API_URL, process.env.OPENCOMPUTER_API_KEY);
    await tags.set(box.sandboxId, { team: "a", stage: "test" });
    assert.deepEqual((await tags.get(box.sandboxId)).tags, { team: "a", stage: "test" });
    const keys = await tags.listKeys();
    assert.ok(keys.some((key) => key.key === "team" && key.sandboxCount >= 1 && key.valueCount >= 1));
  });
});

// A request by host name, wherever that name would lead: previews have names of their own.
const server = new URL(process.env.OPENCOMPUTER_API_URL);
const through = (host, path, { method = "GET", headers = {}, body } = {}) => new Promise((resolve, reject) => {
  const request = http.request({ host: server.hostname, port: server.port, path, method, headers: { Host: host, ...headers } }, (response) => {
    const chunks = [];
    response.on("data", (chunk) => chunks.push(chunk));
    response.on("error", reject);
    response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() }));
  });
  request.on("error", reject);
  request.end(body);
});
const programs = `
import base64, hashlib, http.server, json, socketserver, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        if self.headers.get("Upgrade", "").lower() == "websocket":
            return self.socket()
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        if self.path.startswith("/slow"):
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            for part in (b"first", b"second"):
                self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(part), part)); self.wfile.flush(); time.sleep(20)
            self.wfile.write(b"0\\r\\n\\r\\n"); return
        told = json.dumps({"method": self.command, "path": self.path, "body": body, "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Content-Length", str(len(told))); self.send_header("Set-Cookie", "a=1"); self.send_header("Set-Cookie", "b=2")
        self.send_header("Connection", "keep-alive, X-Hop"); self.send_header("X-Hop", "no"); self.end_headers()
        if self.command != "HEAD": self.wfile.write(told)
    do_GET = do_POST = do_HEAD = do_DELETE = answer
    def socket(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101); self.send_header("Upgrade", "websocket"); self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()); self.end_headers()
        while True:
            head = self.rfile.read(2)
            if len(head) < 2 or head[0] & 15 == 8: break
            size = head[1] & 127
            mask = self.rfile.read(4); data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(size)))
            self.wfile.write(bytes([head[0], size]) + data); self.wfile.flush()
        self.wfile.write(b"\\x88\\x00"); self.close_connection = True
    def log_message(self, *ignored): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer): daemon_threads = True
Server(("127.0.0.1", 9000), Handler).serve_forever()
`;
const serve = async (box) => {
  await box.files.write("/tmp/server.py", programs);
  await box.exec.run("nohup python3 /tmp/server.py > /tmp/server.log 2>&1 & for i in $(seq 200); do curl -s localhost:9000/ > /dev/null && exit; sleep 0.1; done; cat /tmp/server.log; exit 1")
    .then((result) => assert.equal(result.exitCode, 0, result.stdout));
};

describe("previews", limit, () => {
  let box, name;
  before(async () => {
    box = await create();
    name = box.getPreviewDomain(9000);
    await serve(box);
  }, limit);

  it("have URLs", async () => {
    const made = await box.createPreviewURL({ port: 9000, authConfig: { note: "mine" } });
    assert.equal(made.hostname, name);
    assert.deepEqual([made.sandboxId, made.port, made.authConfig], [box.sandboxId, 9000, { note: "mine" }]);
    assert.equal((await box.createPreviewURL({ port: 9000 })).id, made.id);
    assert.equal((await box.listPreviewURLs()).length, 1);
    await assert.rejects(box.createPreviewURL({}), /400/);
    await box.deletePreviewURL(9000);
    await box.deletePreviewURL(9000);
    assert.deepEqual(await box.listPreviewURLs(), []);
  });

  it("pass on what is sent and what is answered", async () => {
    const answer = await through(name, "/a%2Fb/../c?x=%20y", {
      method: "POST", body: "sent", headers: { "X-Mine": "yes", Connection: "X-Drop", "X-Drop": "1", "X-Forwarded-For": "6.6.6.6", Cookie: "c=1" },
    });
    const told = JSON.parse(answer.body);
    assert.equal(answer.status, 200);
    assert.deepEqual([told.method, told.path, told.body], ["POST", "/a%2Fb/../c?x=%20y", "sent"]);
    assert.equal(told.headers.host, name);
    assert.equal(told.headers["x-mine"], "yes");
    assert.equal(told.headers["x-drop"], undefined);
    assert.equal(told.headers["x-forwarded-for"], "127.0.0.1");
    assert.equal(told.headers["x-forwarded-host"], name);
    assert.equal(told.headers.cookie, "c=1");
    assert.deepEqual(answer.headers["set-cookie"], ["a=1", "b=2"]);
    assert.equal(answer.headers["x-hop"], undefined);
    assert.equal((await through(name, "/none")).status, 404);
    assert.equal((await through(name, "/", { method: "HEAD" })).body, "");
    const big = "x".repeat(3_000_000);
    assert.equal(JSON.parse((await through(name, "/", { method: "POST", body: big })).body).body.length, big.length);
  });

  it("keep the server's keys to themselves", async () => {
    const key = process.env.OPENCOMPUTER_API_KEY;
    const told = JSON.parse((await through(name, "/", { headers: { "X-API-Key": key, Authorization: `Bearer ${key}` } })).body);
    assert.equal(told.headers["x-api-key"], undefined);
    assert.equal(told.headers.authorization, undefined);
    const own = JSON.parse((await through(name, "/", { headers: { "X-API-Key": "its own", Authorization: "Bearer its own" } })).body);
    assert.deepEqual([own.headers["x-api-key"], own.headers.authorization], ["its own", "Bearer its own"]);
  });

  it("stream", async () => {
    const started = Date.now();
    const first = await new Promise((resolve, reject) => {
      http.get({ host: server.hostname, port: server.port, path: "/slow", headers: { Host: name } }, (response) => {
        response.once("data", (chunk) => { resolve({ text: chunk.toString(), after: Date.now() - started }); response.destroy(); });
      }).on("error", reject);
    });
    assert.equal(first.text, "first");
    assert.ok(first.after < 19_000, `after ${first.after} ms`);
  });

  it("have a form without a name, apart from the server's origin", async () => {
    const answer = await fetch(new URL(`/preview/${box.sandboxId}/9000/path?q=1`, server), { headers: { Cookie: "c=1" } });
    const told = await answer.json();
    assert.equal(told.path, "/path?q=1");
    assert.equal(told.headers["x-forwarded-prefix"], `/preview/${box.sandboxId}/9000`);
    assert.equal(told.headers.cookie, undefined);
    assert.match(answer.headers.get("content-security-policy"), /^sandbox /);
    assert.equal(answer.headers.get("set-cookie"), null);
    const bare = await fetch(new URL(`/preview/${box.sandboxId}/9000`, server), { redirect: "manual" });
    assert.deepEqual([bare.status, bare.headers.get("location")], [308, `/preview/${box.sandboxId}/9000/`]);
  });

  it("carry WebSockets", async () => {
    const socket = new WebSocket(`ws://${server.host}/preview/${box.sandboxId}/9000/socket`);
    const echoed = await new Promise((resolve, reject) => {
      socket.onopen = () => socket.send("over and back");
      socket.onmessage = (message) => resolve(message.data);
      socket.onerror = (failure) => reject(new Error(failure.message ?? "it failed"));
    });
    assert.equal(echoed, "over and back");
    const closed = new Promise((resolve) => (socket.onclose = resolve));
    socket.close();
    await closed;
  });

  it("never lead into the server, and say what is wrong", async () => {
    const silent = await through(box.getPreviewDomain(9999), "/");
    assert.equal(silent.status, 502);
    assert.equal(JSON.parse(silent.body).code, "connection_refused");
    assert.equal(JSON.parse((await through(name.toUpperCase() + ".", "/api/sandboxes")).body).path, "/api/sandboxes");
    assert.equal((await through("sb-00000000-p80.localhost", "/health")).status, 404);
    assert.equal((await through("sb-00000000-p0.localhost", "/health")).status, 404);
    assert.equal((await through(`${box.sandboxId}-p70000.localhost`, "/health")).status, 404);
    assert.equal((await through(name, "/", { method: "TRACE" })).status, 405);
  });

  it("wake a sandbox", async () => {
    await box.hibernate();
    assert.equal((await through(name, "/awake")).status, 200);
    assert.equal(await box.isRunning(), true);
  });

  it("ask for a token", async () => {
    const closed = await create({ previewAuth: { token: "auto" } });
    assert.match(closed.previewAuthToken, /^[0-9a-f]{64}$/);
    await serve(closed);
    const own = closed.getPreviewDomain(9000);
    assert.equal((await through(own, "/")).status, 401);
    assert.equal((await through(own, "/", { headers: { Authorization: "Bearer wrong" } })).status, 401);
    for (const headers of [
      { Authorization: `Bearer ${closed.previewAuthToken}` },
      { "X-OC-Preview-Token": closed.previewAuthToken },
      { Cookie: `a=1; oc_preview_token=${closed.previewAuthToken}` },
    ]) {
      const answer = await through(own, "/", { headers });
      assert.equal(answer.status, 200);
      assert.ok(!answer.body.includes(closed.previewAuthToken), answer.body);
    }
    const old = closed.previewAuthToken;
    const rotated = await closed.rotatePreviewAuthToken();
    assert.equal((await through(own, "/", { headers: { "X-OC-Preview-Token": old } })).status, 401);
    assert.equal((await through(own, "/", { headers: { "X-OC-Preview-Token": rotated } })).status, 200);
    await assert.rejects(create({ previewAuth: { token: "short" } }), /400/);
  });
});

describe("images and snapshots", limit, () => {
  const snapshots = new Snapshots();
  const image = (mark) => Image.base()
    .env({ BUILT: "yes", SPACED: "a b" })
    .workdir("/workspace/app")
    .runCommands(`echo built ${mark} $BUILT > made.txt`, "echo to the log")
    .addFile("/workspace/app/added.txt", "added\n");

  it("begin with what was built, once", async () => {
    const mark = String(Date.now());
    const log = [];
    const first = await create({ image: image(mark), onBuildLog: (line) => log.push(line), envs: { OWN: "too" }, timeout: 60 });
    assert.ok(log.includes("to the log"), log.join("\n"));
    const told = await first.exec.run('pwd; cat made.txt added.txt; echo "$BUILT $SPACED $OWN"');
    assert.equal(told.stdout, `/workspace/app\nbuilt ${mark} yes\nadded\nyes a b too\n`);
    const again = [];
    const second = await create({ image: image(mark), onBuildLog: (line) => again.push(line) });
    assert.equal(again.length, 1);
    assert.match(again[0], /there already/);
    assert.equal(await second.files.read("/workspace/app/added.txt"), "added\n");
    await second.files.write("/workspace/app/added.txt", "changed");
    assert.equal(await first.files.read("/workspace/app/added.txt"), "added\n");
  });

  it("have names", async () => {
    const name = `test-${Date.now()}`;
    const log = [];
    const built = await snapshots.create({ name, image: image(name), onBuildLogs: (line) => log.push(line) });
    assert.deepEqual([built.name, built.status, built.contentHash], [name, "ready", image(name).cacheKey()]);
    assert.ok(log.length > 0);
    await assert.rejects(snapshots.create({ name, image: image(name) }), /409/);
    assert.equal((await snapshots.waitUntilReady(name, { timeoutMs: 5_000 })).id, built.id);
    assert.ok((await snapshots.list()).some((one) => one.name === name));
    const box = await create({ snapshot: name });
    assert.equal((await box.exec.run("cat made.txt")).stdout, `built ${name} yes\n`);
    await snapshots.delete(name);
    await assert.rejects(snapshots.get(name), /404/);
    await assert.rejects(create({ snapshot: name }), /404/);
    assert.equal(await box.files.read("/workspace/app/added.txt"), "added\n");
  });

  it("say which step failed", async () => {
    const name = `broken-${Date.now()}`;
    const broken = Image.base().runCommands("true", "echo no way >&2; exit 3");
    const log = [];
    await assert.rejects(snapshots.create({ name, image: broken, onBuildLogs: (line) => log.push(line) }), /Build failed: step 1 \(run\) failed: it ended with exit code 3/);
    assert.ok(log.includes("no way"));
    await assert.rejects(snapshots.waitUntilReady(name, { timeoutMs: 5_000 }), /failed/);
    await snapshots.delete(name);
    const wrong = Image.base().workdir("not absolute");
    await assert.rejects(create({ image: wrong }), /400/);
  });

  it("are answered without events, too, and in the background", async () => {
    const headers = { "X-API-Key": process.env.OPENCOMPUTER_API_KEY };
    const body = { image: { base: "base", steps: [{ type: "run", args: { commands: [`echo ${Date.now()}`] } }] } };
    const plain = await fetch(new URL("/api/sandboxes", server), { method: "POST", headers, body: JSON.stringify(body) });
    assert.equal(plain.status, 201);
    made.push(await Sandbox.connect((await plain.json()).sandboxID));
    const name = `later-${Date.now()}`;
    const later = await fetch(new URL("/api/snapshots?async=1", server), { method: "POST", headers, body: JSON.stringify({ name, image: image(name).toJSON() }) });
    assert.deepEqual([later.status, (await later.json()).status], [202, "building"]);
    assert.equal((await snapshots.waitUntilReady(name, { timeoutMs: 60_000, pollIntervalMs: 200 })).status, "ready");
    await snapshots.delete(name);
  });
});

describe("what there is not", limit, () => {
  it("is told as such", async () => {
    const headers = { "X-API-Key": process.env.OPENCOMPUTER_API_KEY };
    for (const path of ["/api/secret-stores", "/api/webhooks/1", "/api/sandboxes/sb-00000000/mounts", "/api/sandboxes/sb-00000000/agent/x/prompt", "/api/workers"]) {
      const answer = await fetch(new URL(path, server), { headers });
      assert.equal(answer.status, 501, path);
      assert.equal((await answer.json()).code, "not_supported");
    }
    assert.equal((await (await fetch(new URL("/api/templates", server), { headers })).json())[0].templateID, "base");
    await assert.rejects(create({ secretStore: "mine" }), /501/);
  });
});

describe("usage", limit, () => {
  it("is counted to the second", async () => {
    const box = await create({ memoryMB: 1024 });
    const usage = new Usage(process.env.OPENCOMPUTER_API_URL, process.env.OPENCOMPUTER_API_KEY);
    await box.exec.run("sleep 3");
    const one = await usage.forSandbox(box.sandboxId);
    assert.ok(one.totals.uptimeSeconds >= 3 && one.totals.uptimeSeconds < 60, JSON.stringify(one));
    assert.ok(Math.abs(one.totals.memoryAllocatedGbSeconds - one.totals.uptimeSeconds) < 0.01); // 1 GB
    assert.ok(one.points.length >= 1 && one.points[0].allocatedMemoryMb === 1024);
    await box.hibernate();
    let asleep = 0, again = -1;
    for (let i = 0; i < 30 && asleep !== again; i++) { // the meter hears of it a moment later
      asleep = (await usage.forSandbox(box.sandboxId)).totals.uptimeSeconds;
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      again = (await usage.forSandbox(box.sandboxId)).totals.uptimeSeconds;
    }
    assert.equal(again, asleep);
    const tags = new Tags(process.env.OPENCOMPUTER_API_URL, process.env.OPENCOMPUTER_API_KEY);
    const value = box.sandboxId;
    await tags.set(box.sandboxId, { counted: value });
    const all = await usage.bySandbox({ filter: { "tag:counted": value } });
    assert.equal(all.items.length, 1);
    assert.equal(all.items[0].sandboxId, box.sandboxId);
    assert.equal(all.total.memoryGbSeconds, all.items[0].memoryGbSeconds);
    const grouped = await usage.byTag("counted");
    assert.ok(grouped.items.some((item) => item.tagValue === value && item.sandboxCount === 1));
    assert.ok(grouped.untagged.sandboxCount >= 0);
    await assert.rejects(usage.bySandbox({ from: "yesterday" }), /400/);
  });
});

describe("the end", limit, () => {
  it("is told", async () => {
    const box = await create();
    await box.kill();
    await assert.rejects(box.exec.run("true"), /410/);
    await assert.rejects(Sandbox.connect("sb-00000000"), /404/);
  });
});
