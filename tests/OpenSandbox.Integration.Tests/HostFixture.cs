using Microsoft.Extensions.Logging;

namespace OpenSandbox.Integration.Tests;

/// <summary>
/// One host for all tests against a real QEMU. Where a prerequisite is missing the tests skip and say which; where starting fails for any
/// other reason, every test fails with that reason.
/// </summary>
public sealed class HostFixture : IAsyncLifetime
{
    public const string Collection = "real QEMU";

    private SandboxHost? _host;
    private Exception? _failure;

    public static SandboxHostOptions Options { get; } = new();

    public RecordingLoggerProvider Log { get; } = new();

    /// <summary>Why the tests cannot run here, or null.</summary>
    public static string? MissingPrerequisite =>
        !File.Exists(Options.QemuPath) ? "QEMU is not installed (apt-get install qemu-system-x86)"
        : !File.Exists(Path.Combine(Options.AssetsDirectory, "launcher")) ? $"no guest assets in {Options.AssetsDirectory} (scripts/build-assets.sh)"
        : null;

    public SandboxHost Host
    {
        get
        {
            Skip.If(MissingPrerequisite is not null, MissingPrerequisite);
            return _host ?? throw new InvalidOperationException($"the host did not start: {_failure?.Message}", _failure);
        }
    }

    /// <summary>The host, where there is also the default image.</summary>
    public SandboxHost HostWithImage
    {
        get
        {
            SandboxHost host = Host;
            Skip.If(host.Images.List().Count < 2, "the default image is not built (opensandbox image build)");
            return host;
        }
    }

    public async Task InitializeAsync()
    {
        if (MissingPrerequisite is null)
        {
            try
            {
                var loggers = new LoggerFactory([Log]);
                _host = await SandboxHost.StartAsync(Options, loggers).WaitAsync(TimeSpan.FromMinutes(4));
            }
            catch (Exception failure)
            {
                _failure = failure;
            }
        }
    }

    public async Task DisposeAsync()
    {
        if (_host is not null)
        {
            await _host.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60));
        }
    }
}

[CollectionDefinition(HostFixture.Collection, DisableParallelization = true)]
public sealed class HostCollection : ICollectionFixture<HostFixture>;
