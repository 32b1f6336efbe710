namespace OpenSandbox.Host.Tests;

[Collection(ServerFixture.Collection)]
public sealed class ReadinessTests(ServerFixture fixture)
{
    [Fact]
    public void Reason_Starting_IsTold() => Assert.Contains("started", new Readiness(new ServerState(), static () => long.MaxValue).Reason, StringComparison.Ordinal);

    [Fact]
    public void Reason_Ready_IsNone() => Assert.Null(new Readiness(new ServerState { NotReady = null }, static () => Readiness.MinFreeBytes).Reason);

    [Fact]
    public void Reason_DiskFull_IsToldWithNumbers() =>
        Assert.Contains("3 MiB are left, 512", new Readiness(new ServerState { NotReady = null }, static () => 3 << 20).Reason, StringComparison.Ordinal);

    [Fact]
    public void Reason_DiskGone_IsTold() =>
        Assert.Contains("gone", new Readiness(new ServerState { NotReady = null }, static () => throw new IOException("gone")).Reason, StringComparison.Ordinal);

    [SkippableTheory]
    [InlineData("/health", "ok")]
    [InlineData("/healthz", "alive")]
    [InlineData("/readyz", "ready")]
    public async Task Probes_NeedNoKey(string path, string status)
    {
        _ = fixture.Server;
        RawAnswer answer = await RawHttp.SendAsync(fixture.EndPoint, RawHttp.Request("GET", path, null));

        Assert.Equal((200, status), (answer.Status, answer.String("status")));
    }
}
