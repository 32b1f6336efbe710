using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.Extensions.Hosting.Internal;
using Microsoft.Extensions.Logging.Abstractions;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Images;
using OpenSandbox.Host.Json;
using OpenSandbox.Host.Records;

namespace OpenSandbox.Host.Tests;

public sealed class ImageServiceTests : IDisposable
{
    private const int MaxBuilds = 32;
    private readonly string _state = Directory.CreateTempSubdirectory("images-").FullName;

    public void Dispose() => Directory.Delete(_state, recursive: true);

    [Fact]
    public async Task Begin_TooManyAreBeingBuilt_LeavesNoName()
    {
        using ImageService images = Open();
        SnapshotEntry early = images.Begin("early", Plan("early"));
        Task[] builds = Hold(images, out HeldContext held);

        Assert.Equal(429, Assert.Throws<ApiException>(() => images.Begin("late", Plan("late"))).Status);
        Assert.Equal(429, (await Assert.ThrowsAsync<ApiException>(() => images.FinishAsync(early, Plan("early"), static _ => { }, Deadline.In(30)))).Status);
        Assert.Empty(images.Snapshots);
        Assert.Equal("same", images.Begin("same", Plan("0")).Name); // what is being built already takes no more

        held.Release();
        await Assert.ThrowsAnyAsync<Exception>(() => Task.WhenAll(builds).WaitAsync(Deadline.In(30))); // there is no host to build with
        Assert.Equal("late", images.Begin("late", Plan("late")).Name);
    }

    [Fact]
    public void Explain_WhatTheClientCannotHelp_TellsNothingOfTheMachine()
    {
        foreach (Exception failure in (Exception[])[
            new IOException("No space left on device : '/secret/x'"),
            new SandboxStartException(null, "starting", "it ended", "/secret/x"),
            new UnauthorizedAccessException("/secret/x")])
        {
            Assert.DoesNotContain("secret", ImageService.Explain(failure), StringComparison.Ordinal);
        }

        Assert.Equal("step 1 failed", ImageService.Explain(new ApiException(422, "step 1 failed")));
    }

    private static ImagePlan Plan(string command) =>
        ImagePlan.From(JsonDocument.Parse($$$"""{"steps":[{"type":"run","args":{"commands":["{{{command}}}"]}}]}""").RootElement);

    /// <summary>As many builds as may be, which do not begin before they are let.</summary>
    private static Task[] Hold(ImageService images, out HeldContext held)
    {
        SynchronizationContext? before = SynchronizationContext.Current;
        held = new HeldContext();
        SynchronizationContext.SetSynchronizationContext(held);
        try
        {
            return [.. Enumerable.Range(0, MaxBuilds).Select(i => images.GetAsync(Plan($"{i}"), static _ => { }, CancellationToken.None))];
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(before);
        }
    }

    private ImageService Open()
    {
        var options = new ServerOptions();
        return new ImageService(
            null!,
            new ImageBuilder(null!, options),
            new RecordStore<ImageEntry>(Path.Combine(_state, "images"), HostJsonContext.Default.ImageEntry, static _ => true, NullLogger.Instance),
            new RecordStore<SnapshotEntry>(Path.Combine(_state, "snapshots"), HostJsonContext.Default.SnapshotEntry, static _ => true, NullLogger.Instance),
            options,
            new ApplicationLifetime(NullLogger<ApplicationLifetime>.Instance),
            NullLogger<ImageService>.Instance);
    }

    private sealed class HeldContext : SynchronizationContext
    {
        private readonly ConcurrentQueue<(SendOrPostCallback Call, object? State)> _held = new();

        public override void Post(SendOrPostCallback d, object? state) => _held.Enqueue((d, state));

        internal void Release()
        {
            while (_held.TryDequeue(out (SendOrPostCallback Call, object? State) one))
            {
                ThreadPool.QueueUserWorkItem(_ => one.Call(one.State));
            }
        }
    }
}
