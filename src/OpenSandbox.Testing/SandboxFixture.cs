using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using OpenSandbox.Vmm;
using Xunit;

namespace OpenSandbox.Testing;

/// <summary>One <see cref="SandboxHost"/> for many xunit tests, each of which makes sandboxes of its own.</summary>
/// <remarks>
/// <para>Thread-safe: tests of several classes may use one fixture at once.</para>
/// <para>Where QEMU or anything else that sandboxes need is missing, tests are skipped with the reason, which needs
/// <c>[SkippableFact]</c> or <c>[SkippableTheory]</c>. Where starting fails for any other reason, every test that asks for the host fails
/// with that reason.</para>
/// <para>Nothing survives the tests: what they have not disposed of is ended with the fixture, which then fails and names it; and all
/// sandboxes end with the process, however it ends.</para>
/// </remarks>
/// <example>
/// <code>
/// [CollectionDefinition("sandboxes")]
/// public sealed class SandboxCollection : ICollectionFixture&lt;SandboxFixture&gt;;
///
/// [Collection("sandboxes")]
/// public sealed class AnswerTests(SandboxFixture sandboxes)
/// {
///     [SkippableFact]
///     public async Task Python_Multiplies()
///     {
///         await using Sandbox sandbox = await sandboxes.CreateAsync();
///         ExecResult result = await sandbox.ExecAsync(["python3", "-c", "print(6 * 7)"]);
///         Assert.Equal("42\n", result.EnsureSuccess().StandardOutput);
///     }
/// }
/// </code>
/// </example>
public class SandboxFixture : IAsyncLifetime
{
    private readonly SandboxFixtureOptions _options;
    private readonly ConcurrentDictionary<Sandbox, string> _made = new();
    private SandboxHost? _host;
    private Exception? _failure;
    private string? _missing;
    private bool _initialized;

    /// <summary>A fixture with default options.</summary>
    public SandboxFixture()
        : this(new SandboxFixtureOptions())
    {
    }

    /// <summary>A fixture with other options; for derived classes, as xunit makes fixtures without arguments.</summary>
    /// <param name="options">The options.</param>
    protected SandboxFixture(SandboxFixtureOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
    }

    /// <summary>Why tests are skipped here; <see langword="null"/> where sandboxes can run, and before <see cref="InitializeAsync"/>.</summary>
    public string? SkipReason => _missing;

    /// <summary>The host. Asking for it skips the test where sandboxes cannot run.</summary>
    /// <exception cref="SkipException">Something that sandboxes need is missing; the message says what, and what to do.</exception>
    /// <exception cref="SandboxFixtureException">The host did not start, or something is missing that must not be.</exception>
    public SandboxHost Host
    {
        get
        {
            if (_missing is not null && _options.Required)
            {
                throw new SandboxFixtureException($"sandboxes are required here and cannot run: {_missing}");
            }

            Skip.If(_missing is not null, _missing);
            if (_failure is not null)
            {
                throw new SandboxFixtureException($"the host did not start: {_failure.Message}", _failure);
            }

            return _host ?? throw new InvalidOperationException(_initialized
                ? "the fixture has been disposed of"
                : "the fixture has not been initialized: xunit does that for class and collection fixtures");
        }
    }

    /// <summary>Makes a sandbox for a test.</summary>
    /// <param name="spec">What it is made of. Default: see <see cref="SandboxSpec"/>.</param>
    /// <param name="member">The test, for the message if it forgets the sandbox. Filled in by the compiler.</param>
    /// <param name="file">The test's file. Filled in by the compiler.</param>
    /// <param name="cancellationToken">The VM is gone before the cancellation surfaces.</param>
    /// <returns>The sandbox; dispose it.</returns>
    /// <exception cref="SkipException">Something that sandboxes need is missing, the image among it.</exception>
    /// <exception cref="SandboxFixtureException">The host did not start, or something is missing that must not be.</exception>
    /// <exception cref="SandboxException">The sandbox could not be made.</exception>
    public async Task<Sandbox> CreateAsync(
        SandboxSpec? spec = null,
        [CallerMemberName] string member = "",
        [CallerFilePath] string file = "",
        CancellationToken cancellationToken = default)
    {
        SandboxHost host = Host;
        spec ??= new SandboxSpec();
        RequireImage(host, spec.Image);
        Sandbox sandbox = await host.CreateAsync(spec, cancellationToken).ConfigureAwait(false);
        _made[sandbox] = $"{member} ({Path.GetFileName(file)})";
        _ = ForgetAsync(sandbox);
        return sandbox;
    }

    /// <summary>Starts the host. Never fails: what went wrong is told to every test that asks for it. Called by xunit.</summary>
    /// <returns>When the host has started, or cannot.</returns>
    public async Task InitializeAsync()
    {
        using var deadline = new CancellationTokenSource(_options.StartTimeout);
        try
        {
            HostPrerequisiteReport report = await HostPrerequisites.CheckAsync(_options.Host, deadline.Token).ConfigureAwait(false);
            _missing = report.Reason;
            if (_missing is null)
            {
                _host = await SandboxHost.StartAsync(_options.Host, _options.Loggers, deadline.Token).ConfigureAwait(false);
            }
        }
        catch (HostPrerequisiteException missing)
        {
            _missing = missing.Message;
        }
        catch (OperationCanceledException late) when (deadline.IsCancellationRequested)
        {
            _failure = new TimeoutException($"it took longer than {_options.StartTimeout} (SandboxFixtureOptions.StartTimeout)", late);
        }
        catch (Exception failure)
        {
            // Kept for the tests: xunit would report a failing fixture with every test, but not let them be skipped.
            _failure = failure;
        }
        finally
        {
            _initialized = true;
        }
    }

    /// <summary>Ends all sandboxes and the host. Called by xunit.</summary>
    /// <returns>When nothing is left.</returns>
    /// <exception cref="SandboxLeakException">Tests had left sandboxes.</exception>
    public async Task DisposeAsync()
    {
        string[] left = [.. _made.Where(static made => made.Key.State == SandboxState.Running).Select(static made => $"{made.Key.Id}, made in {made.Value}").Order(StringComparer.Ordinal)];
        SandboxHost? host = Interlocked.Exchange(ref _host, null);
        if (host is not null)
        {
            await host.DisposeAsync().ConfigureAwait(false);
        }

        if (left.Length > 0)
        {
            throw new SandboxLeakException(left);
        }
    }

    private async Task ForgetAsync(Sandbox sandbox)
    {
        await sandbox.Stopped.ConfigureAwait(false);
        _made.TryRemove(sandbox, out _);
    }

    private void RequireImage(SandboxHost host, string? image)
    {
        if (image is null || host.Images.List().Any(known => known.Name == image || known.Digest == image))
        {
            return;
        }

        string missing = $"there is no image '{image}' in {host.Options.StateDirectory} (opensandbox image build)";
        if (_options.Required)
        {
            throw new SandboxFixtureException($"sandboxes are required here and cannot run: {missing}");
        }

        Skip.If(true, missing);
    }
}
