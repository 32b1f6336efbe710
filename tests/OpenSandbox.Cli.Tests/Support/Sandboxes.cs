using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Tests.Support;

/// <summary>A machine on which sandboxes run, with images and golden snapshot made; or the reason why it is none.</summary>
public sealed class Sandboxes : IAsyncLifetime
{
    public const string Name = "Integration";

    private static readonly TimeSpan s_firstRun = TimeSpan.FromMinutes(10);

    private string? _reason;

    /// <summary>Why sandboxes cannot run here, or null.</summary>
    internal string? Reason => _reason;

    /// <summary>Skips the calling test where sandboxes cannot run.</summary>
    internal void Require() => Skip.If(_reason is not null, _reason);

    public async Task InitializeAsync()
    {
        foreach (string variable in (string[])["OPENSANDBOX_ASSETS", "OPENSANDBOX_ROOT", "OPENSANDBOX_STATE"])
        {
            if (string.IsNullOrEmpty(Environment.GetEnvironmentVariable(variable)))
            {
                _reason = $"{variable} is not set: run ./test.sh";
                return;
            }
        }

        HostPrerequisiteReport report = await HostPrerequisites.CheckAsync();
        _reason = report.Reason;
        if (_reason is null)
        {
            // Failing here is no reason to skip: everything that is needed is there.
            CliResult first = await CliProcess.RunAsync(null, null, s_firstRun, "run", "--", "true");
            Assert.True(first.ExitCode == 0, $"the first run ended with {first.ExitCode}: {first.Error}");
        }
    }

    public Task DisposeAsync() => Task.CompletedTask;
}

[CollectionDefinition(Sandboxes.Name)]
public sealed class SandboxesCollection : ICollectionFixture<Sandboxes>;
