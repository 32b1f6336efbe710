using System.Security.Cryptography;

namespace OpenSandbox.Integration.Tests;

[Collection(HostFixture.Collection)]
public sealed class FilesTests(HostFixture fixture) : IAsyncLifetime
{
    private Sandbox? _sandbox;

    private Sandbox Sandbox => _sandbox!;

    private SandboxFiles Files => _sandbox!.Files;

    public async Task InitializeAsync()
    {
        if (HostFixture.MissingPrerequisite is null && fixture.Host.Images.List().Count >= 2)
        {
            _sandbox = await fixture.Host.CreateAsync();
        }
    }

    public async Task DisposeAsync()
    {
        if (_sandbox is not null)
        {
            await _sandbox.DisposeAsync();
        }
    }

    [SkippableTheory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(1_024)]
    [InlineData(32_748)]
    [InlineData(32_749)]
    [InlineData(262_144)]
    [InlineData(5_000_001)]
    public async Task WriteThenRead_AnySize_IsExact(int size)
    {
        _ = fixture.HostWithImage;
        byte[] content = new byte[size];
        new Random(size).NextBytes(content);

        await Files.WriteAsync("/workspace/deep/er/file.bin", content, cancellationToken: ExecTests.Deadline());

        Assert.Equal(content, await Files.ReadAllBytesAsync("/workspace/deep/er/file.bin", cancellationToken: ExecTests.Deadline()));
        SandboxFile file = await Files.StatAsync("/workspace/deep/er/file.bin", ExecTests.Deadline());
        Assert.Equal(SandboxFileKind.File, file.Kind);
        Assert.Equal(size, file.Size);
        Assert.Equal(0x1A4, file.Mode);
        Assert.Equal(1000, file.Uid);
    }

    [SkippableFact]
    public async Task Stream_200MB_BothWaysInConstantMemory()
    {
        _ = fixture.HostWithImage;
        const long length = 200_000_000;
        using var up = new PatternStream(length);
        long before = GC.GetTotalMemory(forceFullCollection: true);

        Assert.Equal(length, await Files.WriteAsync("/workspace/large", up, cancellationToken: ExecTests.Deadline(300)));
        using var down = new HashingStream();
        Assert.Equal(length, await Files.ReadAsync("/workspace/large", down, cancellationToken: ExecTests.Deadline(300)));

        Assert.Equal(up.Sha256, down.Sha256);
        string inside = (await Sandbox.ExecAsync(["sha256sum", "/workspace/large"], cancellationToken: ExecTests.Deadline(300))).StandardOutput;
        Assert.StartsWith(up.Sha256, inside, StringComparison.OrdinalIgnoreCase);
        Assert.True(GC.GetTotalMemory(forceFullCollection: true) - before < 16 << 20, "a transfer kept its content in memory");
        await Files.DeleteAsync("/workspace/large", cancellationToken: ExecTests.Deadline());
    }

    [SkippableFact]
    public async Task Read_Range_GivesThatRange()
    {
        _ = fixture.HostWithImage;
        byte[] content = new byte[300_000];
        new Random(5).NextBytes(content);
        await Files.WriteAsync("/tmp/range", content, cancellationToken: ExecTests.Deadline());
        using var part = new MemoryStream();

        Assert.Equal(100_001, await Files.ReadAsync("/tmp/range", part, 99_999, 100_001, ExecTests.Deadline()));
        Assert.Equal(content[99_999..200_000], part.ToArray());
        Assert.Equal(0, await Files.ReadAsync("/tmp/range", Stream.Null, 300_000, 5, ExecTests.Deadline()));
    }

    [SkippableFact]
    public async Task Write_OptionsAndReplacement_KeepOrSetModeAndOwner()
    {
        _ = fixture.HostWithImage;
        await Files.WriteTextAsync("/tmp/mode", "1", new FileWriteOptions { Mode = 0x1C8, User = "root" }, ExecTests.Deadline()); // 0710
        await Files.WriteTextAsync("/tmp/mode", "2", cancellationToken: ExecTests.Deadline());

        SandboxFile file = await Files.StatAsync("/tmp/mode", ExecTests.Deadline());
        Assert.Equal(0x1C8, file.Mode);
        Assert.Equal(0, file.Uid);
        Assert.Equal("2", await Files.ReadAllTextAsync("/tmp/mode", ExecTests.Deadline()));
        Assert.InRange(file.ModifiedAt, TimeProvider.System.GetUtcNow().AddSeconds(-60), TimeProvider.System.GetUtcNow().AddSeconds(60));
    }

    [SkippableFact]
    public async Task Write_CancelledHalfway_LeavesTheOldFileAndNoOther()
    {
        _ = fixture.HostWithImage;
        await Files.WriteTextAsync("/workspace/keep/file", "old", cancellationToken: ExecTests.Deadline());
        using var cancel = new CancellationTokenSource();
        var endless = new PatternStream(long.MaxValue, after: 3_000_000, then: cancel.Cancel);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => Files.WriteAsync("/workspace/keep/file", endless, cancellationToken: cancel.Token));

        Assert.Equal("old", await Files.ReadAllTextAsync("/workspace/keep/file", ExecTests.Deadline()));
        await ExecTests.UntilAsync(async () => (await NamesAsync("/workspace/keep")) is ["file"]);
    }

    [SkippableFact]
    public async Task List_Tree_TellsEveryKindToItsDepth()
    {
        _ = fixture.HostWithImage;
        await Sandbox.ExecAsync(
            ["sh", "-c", "mkdir -p /tmp/t/a/b/c; echo 1 > /tmp/t/a/one; ln -s /etc/passwd /tmp/t/link; mkfifo /tmp/t/fifo; touch '/tmp/t/with\nline'"],
            cancellationToken: ExecTests.Deadline());

        Assert.Equal(["a", "fifo", "link", "with\nline"], await NamesAsync("/tmp/t"));
        var all = new List<SandboxFile>();
        await foreach (SandboxFile file in Files.ListAsync("/tmp/t", 64, ExecTests.Deadline()))
        {
            all.Add(file);
        }

        Assert.Equal(7, all.Count);
        Assert.Equal("/etc/passwd", all.Single(static file => file.Path == "/tmp/t/link").LinkTarget);
        Assert.Equal(SandboxFileKind.Other, all.Single(static file => file.Path == "/tmp/t/fifo").Kind);
        Assert.Equal(2, all.Single(static file => file.Path == "/tmp/t/a/one").Size);
    }

    [SkippableFact]
    public async Task List_20000Entries_AreAllThere()
    {
        _ = fixture.HostWithImage;
        await Sandbox.ExecAsync(["sh", "-c", "mkdir /tmp/many && cd /tmp/many && seq 20000 | xargs touch"], cancellationToken: ExecTests.Deadline());

        Assert.Equal(20_000, (await NamesAsync("/tmp/many")).Length);
    }

    [SkippableFact]
    public async Task Delete_TreeWithLinks_NeverFollowsThem()
    {
        _ = fixture.HostWithImage;
        await Sandbox.ExecAsync(
            ["sh", "-c", "mkdir -p /tmp/outside/dir /tmp/tree/x; echo keep > /tmp/outside/dir/file; ln -s /tmp/outside /tmp/tree/link; ln -s / /tmp/tree/x/root"],
            cancellationToken: ExecTests.Deadline());

        SandboxOperationException notEmpty = await Assert.ThrowsAsync<SandboxOperationException>(() => Files.DeleteAsync("/tmp/tree", cancellationToken: ExecTests.Deadline()));
        await Files.DeleteAsync("/tmp/tree", recursive: true, cancellationToken: ExecTests.Deadline());

        Assert.Equal(39, notEmpty.Errno);
        Assert.False(await Files.ExistsAsync("/tmp/tree", ExecTests.Deadline()));
        Assert.Equal("keep\n", await Files.ReadAllTextAsync("/tmp/outside/dir/file", ExecTests.Deadline()));
        await Files.DeleteAsync("/tmp/tree", ignoreMissing: true, cancellationToken: ExecTests.Deadline());
        SandboxOperationException missing = await Assert.ThrowsAsync<SandboxOperationException>(() => Files.DeleteAsync("/tmp/tree", cancellationToken: ExecTests.Deadline()));
        Assert.Equal(SandboxErrorCode.NotFound, missing.Code);
    }

    [SkippableTheory]
    [InlineData("/tmp/none", SandboxErrorCode.NotFound)]
    [InlineData("/etc", SandboxErrorCode.OperationFailed)]
    [InlineData("/dev/zero", SandboxErrorCode.OperationFailed)]
    [InlineData("/tmp/afifo", SandboxErrorCode.OperationFailed)]
    [InlineData("/etc/passwd/below", SandboxErrorCode.NotFound)]
    public async Task Read_WhatIsNoRegularFile_IsRefusedAtOnce(string path, SandboxErrorCode code)
    {
        _ = fixture.HostWithImage;
        await Sandbox.ExecAsync(["mkfifo", "/tmp/afifo"], cancellationToken: ExecTests.Deadline());

        SandboxOperationException failure = await Assert.ThrowsAsync<SandboxOperationException>(
            () => Files.ReadAllBytesAsync(path, cancellationToken: ExecTests.Deadline(20)));

        Assert.True(failure.Code == code || failure.Code == SandboxErrorCode.InvalidRequest, failure.Message);
        Assert.Contains(path, failure.Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Read_ProcFile_WorksThoughItsSizeIsZero()
    {
        _ = fixture.HostWithImage;
        Assert.Contains("MemTotal", await Files.ReadAllTextAsync("/proc/meminfo", ExecTests.Deadline()), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Write_FullDisk_SaysSoAndTheAgentGoesOn()
    {
        _ = fixture.HostWithImage;
        ExecResult fill = await Sandbox.ExecAsync(
            ["sh", "-c", "fallocate -l 15G /workspace/fill0 || true; i=1; while [ $i -lt 12 ]; do fallocate -l 512M /workspace/fill$i || break; i=$((i+1)); done; dd if=/dev/zero of=/workspace/rest bs=1M count=1024"],
            cancellationToken: ExecTests.Deadline(300));
        Assert.NotEqual(0, fill.ExitCode);
        Assert.Contains("No space left", fill.StandardError, StringComparison.Ordinal);

        SandboxOperationException failure = await Assert.ThrowsAsync<SandboxOperationException>(
            () => Files.WriteAsync("/workspace/more", new byte[4 << 20], cancellationToken: ExecTests.Deadline()));

        Assert.Equal(SandboxErrorCode.NoSpace, failure.Code);
        Assert.False(await Files.ExistsAsync("/workspace/more", ExecTests.Deadline()));
        Assert.Equal("ok\n", (await Sandbox.ExecAsync(["echo", "ok"], cancellationToken: ExecTests.Deadline())).StandardOutput);
    }

    [SkippableFact]
    public async Task Transfer_CallersStreamIsDisposed_FailsAndLeavesTheSandboxUsable()
    {
        _ = fixture.HostWithImage;
        await Files.WriteAsync("/tmp/some", new byte[3_000_000], cancellationToken: ExecTests.Deadline());
        var gone = new MemoryStream();
        await gone.DisposeAsync();

        await Assert.ThrowsAsync<ObjectDisposedException>(() => Files.ReadAsync("/tmp/some", gone).WaitAsync(TimeSpan.FromSeconds(20)));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => Files.WriteAsync("/tmp/other", gone).WaitAsync(TimeSpan.FromSeconds(20)));

        Assert.Equal(3_000_000, (await Files.StatAsync("/tmp/some", ExecTests.Deadline())).Size);
        Assert.False(await Files.ExistsAsync("/tmp/other", ExecTests.Deadline()));
    }

    [SkippableTheory]
    [InlineData("relative")]
    [InlineData("")]
    [InlineData("/nul\0")]
    public async Task AnyCall_ImpossiblePath_IsRefusedBeforeItIsSent(string path)
    {
        _ = fixture.HostWithImage;
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Files.ReadAllBytesAsync(path));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Files.WriteTextAsync(path, ""));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Files.DeleteAsync(path));
    }

    private async Task<string[]> NamesAsync(string path)
    {
        var names = new List<string>();
        await foreach (SandboxFile file in Files.ListAsync(path, cancellationToken: ExecTests.Deadline()))
        {
            names.Add(file.Path[(path.Length + 1)..]);
        }

        names.Sort(StringComparer.Ordinal);
        return [.. names];
    }

    /// <summary>A stream of known content that knows its own hash, and can call something on the way.</summary>
    private sealed class PatternStream(long length, long after = long.MaxValue, Action? then = null) : Stream
    {
        private readonly Random _random = new(42);
        private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        private long _position;

        public string Sha256 => Convert.ToHexString(_hash.GetCurrentHash());

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => length;

        public override long Position { get => _position; set => throw new NotSupportedException(); }

        public override int Read(Span<byte> buffer)
        {
            if (_position > after)
            {
                then?.Invoke();
            }

            int count = (int)Math.Min(buffer.Length, length - _position);
            _random.NextBytes(buffer[..count]);
            _hash.AppendData(buffer[..count]);
            _position += count;
            return count;
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }

    private sealed class HashingStream : Stream
    {
        private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

        public string Sha256 => Convert.ToHexString(_hash.GetCurrentHash());

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override void Write(byte[] buffer, int offset, int count) => _hash.AppendData(buffer, offset, count);

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
