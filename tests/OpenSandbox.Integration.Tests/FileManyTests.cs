using System.Globalization;
using System.Text;

namespace OpenSandbox.Integration.Tests;

[Collection(HostFixture.Collection)]
public sealed class FileManyTests(HostFixture fixture) : SandboxTest(fixture)
{
    [SkippableFact]
    public async Task WriteThenReadMany_ManySizes_AreExactAndInOrder()
    {
        var random = new Random(7);
        FileContent[] files = [.. Enumerable.Range(0, 500).Select(i =>
        {
            byte[] content = new byte[i % 50 == 0 ? 300_000 + i : random.Next(0, 3_000)];
            random.NextBytes(content);
            return new FileContent(string.Create(CultureInfo.InvariantCulture, $"/workspace/m/{i % 7}/f{i}"), content, i % 2 == 0 ? null : new FileWriteOptions { Mode = 0x180, User = "root" });
        })];

        IReadOnlyList<SandboxFileResult> written = await Files.WriteManyAsync(files, ExecTests.Deadline());
        List<SandboxFileResult> read = await CollectAsync(
            Files.ReadManyAsync([.. files.Select(static file => file.Path)], cancellationToken: ExecTests.Deadline()));
        IReadOnlyList<SandboxFileResult> described = await Files.StatManyAsync([.. files.Select(static file => file.Path)], ExecTests.Deadline());

        for (int i = 0; i < files.Length; i++)
        {
            Assert.Equal(files[i].Path, written[i].EnsureSuccess().Path);
            Assert.Equal(files[i].Path, read[i].EnsureSuccess().Path);
            Assert.True(files[i].Content.Span.SequenceEqual(read[i].Content.Span), files[i].Path);
            Assert.Equal(files[i].Content.Length, described[i].EnsureSuccess().File!.Size);
            Assert.Equal(i % 2 == 0 ? (0x1A4, "sandbox") : (0x180, "root"), (described[i].File!.Mode, described[i].File!.User));
        }

        Assert.Equal(files.Length, described.Count);
    }

    [SkippableFact]
    public async Task Many_SomeFail_DoNotConcernTheOthers()
    {
        await ShellAsync("mkdir /opt/dir && head -c 5000 /dev/zero > /opt/large && chattr +i /opt/dir");
        byte[] large = new byte[400_000];

        IReadOnlyList<SandboxFileResult> written = await Files.WriteManyAsync(
            [
                new FileContent("/opt/ok1", "1"u8.ToArray()),
                new FileContent("/opt/dir/no", large),
                new FileContent("/opt/dir", large),
                new FileContent("/opt/deep/none", "x"u8.ToArray(), new FileWriteOptions { CreateParents = false }),
                new FileContent("/opt/ok2", large),
            ],
            ExecTests.Deadline());
        List<SandboxFileResult> read = await CollectAsync(
            Files.ReadManyAsync(["/opt/none", "/opt/ok1", "/opt/dir", "/opt/large", "/proc/version", "/dev/zero"], 4_999, ExecTests.Deadline()));
        IReadOnlyList<SandboxFileResult> described = await Files.StatManyAsync(["/opt/ok1", "/opt/none", "/opt/dir"], ExecTests.Deadline());

        Assert.Equal(
            [null, SandboxErrorCode.PermissionDenied, SandboxErrorCode.OperationFailed, SandboxErrorCode.NotFound, null],
            written.Select(static result => result.Error?.Code));
        Assert.Equal(21, written[2].Error!.Errno);
        Assert.Contains("/opt/deep", written[3].Error!.Message, StringComparison.Ordinal);
        Assert.Equal(
            [SandboxErrorCode.NotFound, null, SandboxErrorCode.OperationFailed, SandboxErrorCode.LimitReached, null, SandboxErrorCode.InvalidRequest],
            read.Select(static result => result.Error?.Code));
        Assert.Equal("1", Encoding.UTF8.GetString(read[1].Content.Span));
        Assert.StartsWith("Linux", Encoding.UTF8.GetString(read[4].Content.Span), StringComparison.Ordinal);
        Assert.Equal([null, SandboxErrorCode.NotFound, null], described.Select(static result => result.Error?.Code));
        Assert.Equal("dir\nlarge\nok1\nok2\n", await ShellAsync("ls -A /opt | grep -v lost"));
    }

    [SkippableFact]
    public async Task WriteMany_TheSourceFails_EndsTheRequestAndKeepsWhatWasComplete()
    {
        await Assert.ThrowsAsync<InvalidOperationException>(() => Files.WriteManyAsync(Failing(), ExecTests.Deadline()));

        await ExecTests.UntilAsync(async () => (await ShellAsync("ls -A /workspace | grep -c opensandbox- || true")).Trim() == "0");
        Assert.Equal("ok\n", await ShellAsync("echo ok"));

        static IEnumerable<FileContent> Failing()
        {
            yield return new FileContent("/workspace/first", new byte[200_000]);
            throw new InvalidOperationException("no more");
        }
    }
}
