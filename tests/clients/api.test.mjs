// The published client of the /api dialect, unmodified, against a running server: OPENCOMPUTER_API_URL and OPENCOMPUTER_API_KEY say where.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Sandbox, Tags } from "@opencomputer/sdk";

const limit = { timeout: 120_000 };
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

describe("the end", limit, () => {
  it("is told", async () => {
    const box = await create();
    await box.kill();
    await assert.rejects(box.exec.run("true"), /410/);
    await assert.rejects(Sandbox.connect("sb-00000000"), /404/);
  });
});
