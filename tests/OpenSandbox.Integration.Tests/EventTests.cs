using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace OpenSandbox.Integration.Tests;

/// <summary>What is told of sandboxes: events, metrics and activities. Each test has a state directory of its own.</summary>
[Collection(HostFixture.Collection)]
public sealed class EventTests(HostFixture fixture)
{
    [SkippableFact]
    public async Task Events_OfALife_ComeInOrderWithWhatHappened()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using var events = new ReadEvents(host);

        Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Lifetime = SandboxLifetime.Detached }, Deadline());
        SandboxCheckpoint checkpoint = await sandbox.CheckpointAsync(cancellationToken: Deadline());
        await sandbox.PauseAsync(cancellationToken: Deadline());
        await sandbox.ResumeAsync(Deadline());
        SandboxLimits limits = await sandbox.ResizeAsync(768, cancellationToken: Deadline());
        await sandbox.RestoreAsync(checkpoint.Id, cancellationToken: Deadline());
        Sandbox live = Assert.Single(await sandbox.ForkAsync(cancellationToken: Deadline()));
        Sandbox saved = Assert.Single(await host.ForkAsync(checkpoint.Id, cancellationToken: Deadline()));
        await sandbox.HibernateAsync(Deadline());
        await sandbox.WakeAsync(cancellationToken: Deadline());
        await sandbox.SetExpiryAsync(new SandboxExpiry { IdleTimeout = TimeSpan.FromDays(1) }, Deadline());
        Assert.Equal(0, LifecycleTests.Kill(await sandbox.Machine.GetQemuPidAsync(Deadline()), 9));
        await events.UntilAsync(SandboxEventKind.Crashed);
        await live.DeleteAsync();
        await saved.DeleteAsync();
        await sandbox.DeleteAsync();

        List<SandboxEvent> all = await events.DrainAsync();
        Assert.Equal(Enumerable.Range(1, all.Count).Select(static i => (long)i), all.Select(static one => one.Sequence));
        Assert.All(all, static one => Assert.InRange(DateTimeOffset.UtcNow - one.At, TimeSpan.Zero, TimeSpan.FromMinutes(3)));
        Assert.Equal(
            [
                SandboxEventKind.Created, SandboxEventKind.Ready, SandboxEventKind.Checkpointed, SandboxEventKind.Paused, SandboxEventKind.Resumed,
                SandboxEventKind.Resized, SandboxEventKind.Restored, SandboxEventKind.Hibernated, SandboxEventKind.Woken,
                SandboxEventKind.ExpiryChanged, SandboxEventKind.Crashed, SandboxEventKind.Stopped, SandboxEventKind.Deleted,
            ],
            all.Where(one => one.SandboxId == sandbox.Id).Select(static one => one.Kind));
        SandboxEvent Of(SandboxEventKind kind) => all.Single(one => one.Kind == kind && one.SandboxId == sandbox.Id);
        Assert.Equal(SandboxState.Running, Of(SandboxEventKind.Ready).State);
        Assert.Equal(checkpoint.Id, Of(SandboxEventKind.Checkpointed).CheckpointId);
        Assert.Equal(checkpoint.Id, Of(SandboxEventKind.Restored).CheckpointId);
        Assert.Equal(limits, Of(SandboxEventKind.Resized).Limits);
        Assert.Equal((true, false), (Of(SandboxEventKind.Woken).MemoryRestored, Of(SandboxEventKind.Woken).ByUse));
        Assert.Equal(SandboxState.Hibernated, Of(SandboxEventKind.Hibernated).State);
        Assert.Equal(SandboxExitReason.VmmEnded, Of(SandboxEventKind.Crashed).Exit!.Reason);
        foreach ((Sandbox fork, string? of) in ((Sandbox, string?)[])[(live, null), (saved, checkpoint.Id)])
        {
            SandboxEvent forked = all.First(one => one.SandboxId == fork.Id);
            Assert.Equal((SandboxEventKind.Forked, sandbox.Id, of), (forked.Kind, forked.ParentId, forked.CheckpointId));
        }

        await host.DeleteCheckpointAsync(checkpoint.Id, Deadline());
    }

    [SkippableFact]
    public async Task Events_OfAnOperation_ComeWhenTheNextOneCanBegin()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        await using var events = new ReadEvents(host);
        await using Sandbox sandbox = await host.CreateAsync(cancellationToken: Deadline());

        for (int round = 0; round < 3; round++)
        {
            // Paging out takes a while after the guest has come to a standstill.
            Task<SandboxPause> pausing = sandbox.PauseAsync(new PauseOptions { PageOut = true }, Deadline());
            await events.UntilAsync(SandboxEventKind.Paused);
            Task resuming = sandbox.ResumeAsync(Deadline());
            await events.UntilAsync(SandboxEventKind.Resumed);
            Task<SandboxHibernation> hibernating = sandbox.HibernateAsync(Deadline());
            await events.UntilAsync(SandboxEventKind.Hibernated);
            Task<SandboxWake> waking = sandbox.WakeAsync(cancellationToken: Deadline());
            await events.UntilAsync(SandboxEventKind.Woken);
            Task<SandboxCheckpoint> saving = sandbox.CheckpointAsync(cancellationToken: Deadline());
            await events.UntilAsync(SandboxEventKind.Checkpointed);
            await Task.WhenAll(pausing, resuming, hibernating, waking, saving);
            await host.DeleteCheckpointAsync((await saving).Id, Deadline());
        }
    }

    [SkippableFact]
    public async Task Events_NextHost_TellsWhatItHasAdopted()
    {
        _ = fixture.HostWithImage;
        await using var state = new OwnState();
        string id;
        await using (SandboxHost first = await state.StartHostAsync())
        {
            await using var before = new ReadEvents(first);
            id = (await first.CreateAsync(new SandboxSpec { Lifetime = SandboxLifetime.Detached }, Deadline())).Id;
            await first.DisposeAsync();
            SandboxEvent stopped = await before.UntilAsync(SandboxEventKind.Stopped);
            Assert.Equal(SandboxExitReason.Released, stopped.Exit!.Reason);
            Assert.Equal(stopped, (await before.DrainAsync())[^1]);
        }

        await using SandboxHost second = await state.StartHostAsync();
        var watching = new List<SandboxEvent>();
        await using IAsyncEnumerator<SandboxEvent> watch = second.WatchEventsAsync(Deadline()).GetAsyncEnumerator();
        ValueTask<bool> next = watch.MoveNextAsync(); // subscribed, although nobody has waited for it
        RecoveryReport report = await second.RecoverAsync(Deadline());

        Assert.True(await next);
        Assert.Equal((SandboxEventKind.Adopted, id, SandboxState.Running), (watch.Current.Kind, watch.Current.SandboxId, watch.Current.State!.Value));
        await Assert.Single(report.Adopted).DeleteAsync();
    }

    [SkippableFact]
    public async Task MetricsAndActivities_OfALife_AreMeasuredAndNested()
    {
        _ = fixture.HostWithImage;
        var measured = new ConcurrentBag<(string Name, double Value, Dictionary<string, object?> Tags)>();
        using var meters = new MeterListener
        {
            InstrumentPublished = static (instrument, listener) =>
            {
                if (instrument.Meter.Name == OpenSandboxTelemetry.SourceName)
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        meters.SetMeasurementEventCallback<double>((instrument, value, tags, _) => measured.Add((instrument.Name, value, new(tags.ToArray()))));
        meters.SetMeasurementEventCallback<long>((instrument, value, tags, _) => measured.Add((instrument.Name, value, new(tags.ToArray()))));
        var activities = new ConcurrentQueue<Activity>();
        using var traces = new ActivityListener
        {
            ShouldListenTo = static source => source.Name == OpenSandboxTelemetry.SourceName,
            Sample = static (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = activities.Enqueue,
        };
        await using var state = new OwnState();
        await using SandboxHost host = await state.StartHostAsync();
        meters.Start();
        ActivitySource.AddActivityListener(traces);
        var expiry = new SandboxExpiry { AutoWake = true };

        await using Sandbox sandbox = await host.CreateAsync(new SandboxSpec { Expiry = expiry }, Deadline());
        await sandbox.HibernateAsync(Deadline());
        meters.RecordObservableInstruments();
        await sandbox.ExecAsync(["true"], cancellationToken: Deadline());
        await Assert.ThrowsAsync<SandboxOperationException>(() => sandbox.ExecAsync(["/no/such/program"], cancellationToken: Deadline()));

        Activity[] own = [.. activities.Where(one => (string?)one.GetTagItem("sandbox.id") == sandbox.Id)];
        Assert.Equal(["sandbox.create", "sandbox.hibernate", "sandbox.wake", "sandbox.exec", "sandbox.exec"], own.Select(static one => one.OperationName));
        Assert.Equal(own[3].SpanId, own[2].ParentSpanId);
        Assert.Equal(ActivityStatusCode.Error, own[4].Status);
        Assert.Equal(0, own[3].GetTagItem("process.exit.code"));
        var start = Assert.Single(measured, static one => one.Name == "opensandbox.sandbox.start.duration");
        Assert.InRange(start.Value, 0.001, 60);
        Assert.Equal("restore", start.Tags["start.kind"]);
        Assert.Contains(measured, static one => one.Name == "opensandbox.sandbox.wake.duration" && (string?)one.Tags["trigger"] == "use" && (bool)one.Tags["memory"]!);
        Assert.Contains(measured, static one => one.Name == "opensandbox.sandbox.count" && (string?)one.Tags["sandbox.state"] == "hibernated" && one.Value >= 1);
        Assert.Equal(2, measured.Count(static one => one.Name == "opensandbox.exec.duration"));
        Assert.Equal(0, measured.Where(static one => one.Name == "opensandbox.exec.active").Sum(static one => one.Value));
        Assert.Contains(measured, static one => one.Name == "opensandbox.errors" && (string?)one.Tags["error.type"] == "not_found" && (string?)one.Tags["operation"] == "exec");
        Assert.All(measured, static one => Assert.DoesNotContain("sandbox.id", one.Tags.Keys));
    }

    private static CancellationToken Deadline(int seconds = 60) => ExecTests.Deadline(seconds);
}
