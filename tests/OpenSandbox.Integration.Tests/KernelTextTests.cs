namespace OpenSandbox.Integration.Tests;

/// <summary>The guest's kernel rewrites none of its instructions in a sandbox: what it rewrites on first use is done in the golden snapshot.</summary>
[Collection(HostFixture.Collection)]
public sealed class KernelTextTests(HostFixture fixture)
{
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(3);

    /// <summary>
    /// Keeps the instructions of the kernel and its modules, or prints the functions that differ from what was kept. QEMU before 8.1 can keep the old translation of an instruction that is
    /// rewritten while another vCPU runs it: such a sandbox stands still for ever (agent/Boot/NetworkWarmUp.cs).
    /// </summary>
    private const string Instructions = """
        import bisect, os, pickle, struct, sys

        def segments(core):
            head = core.read(64)
            at, count = struct.unpack_from("<Q", head, 32)[0], struct.unpack_from("<H", head, 56)[0]
            core.seek(at)
            table = core.read(56 * count)
            for i in range(count):
                kind, _, offset, address, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", table, 56 * i)
                if kind == 1:
                    yield address, offset, size

        symbols = sorted((int(a, 16), n) for a, t, n in (l.split()[:3] for l in open("/proc/kallsyms")) if t in "tT")
        names = {n: a for a, n in symbols}
        ranges = [(names["_stext"], names["_etext"])]
        for module in os.listdir("/sys/module"):
            sections = f"/sys/module/{module}/sections"
            if os.path.exists(sections + "/.text"):
                starts = sorted(int(open(f"{sections}/{s}").read(), 16) for s in os.listdir(sections))
                text = int(open(sections + "/.text").read(), 16)
                ranges.append((text, min(s for s in starts if s > text)))

        def text():
            parts = []
            with open("/proc/kcore", "rb") as core:
                found = list(segments(core))
                for start, end in ranges:
                    address, offset, size = next(s for s in found if s[0] <= start < s[0] + s[2])
                    core.seek(offset + start - address)
                    parts.append(core.read(end - start))
            return parts

        now = text()
        assert sum(map(len, now)) > 8 << 20 and len(now) > 10, "the kernel's text was not found"
        if sys.argv[1] == "keep":
            pickle.dump(now, open("/tmp/kept", "wb"))
            sys.exit()

        changed = set()
        for (start, _), old, new in zip(ranges, pickle.load(open("/tmp/kept", "rb")), now):
            if old != new:
                for i in range(len(old)):
                    if old[i] != new[i]:
                        changed.add(symbols[bisect.bisect(symbols, (start + i, "~")) - 1][1])
        print(" ".join(sorted(changed)) or "unchanged")
        """;

    private const string UseNetwork = """
        import socket

        for name in ("a.test", "b.test"):
            try:
                socket.getaddrinfo(name, 80)
            except socket.gaierror:
                pass
        for family, address in ((socket.AF_INET, "198.51.100.7"), (socket.AF_INET6, "2001:db8::7")):
            for kind, port in ((socket.SOCK_STREAM, 80), (socket.SOCK_STREAM, 53), (socket.SOCK_DGRAM, 443)):
                with socket.socket(family, kind) as s:
                    s.settimeout(20)
                    try:
                        s.connect((address, port))
                        s.send(b"x")
                        s.recv(1)
                    except OSError:
                        pass
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname()).close()
        """;

    [SkippableFact]
    public async Task FirstUses_RewriteNoInstruction()
    {
        Skip.If(HostFixture.MissingPrerequisite is not null, HostFixture.MissingPrerequisite);
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec { MemoryMib = 1_024 });
        Assert.Equal("", await PythonAsync(sandbox, Instructions, "keep"));

        await PythonAsync(sandbox, UseNetwork);
        Assert.Equal("unchanged\n", await PythonAsync(sandbox, Instructions, "compare"));

        await sandbox.ResizeAsync(2_048);
        await sandbox.HibernateAsync();
        await sandbox.WakeAsync();
        await PythonAsync(sandbox, UseNetwork);
        Assert.Equal("unchanged\n", await PythonAsync(sandbox, Instructions, "compare"));
    }

    private static async Task<string> PythonAsync(Sandbox sandbox, params string[] script)
    {
        ExecResult result = await sandbox.ExecAsync(["python3", "-c", .. script], new ExecOptions { User = "root" }).WaitAsync(s_limit);
        Assert.Equal("", result.StandardError);
        return result.StandardOutput;
    }
}
