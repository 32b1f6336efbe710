using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using OpenSandbox.Vmm;
using Xunit;

namespace OpenSandbox.Testing;

/// <summary>Base of test classes whose sandboxes end with each test, whether it succeeds, fails or is cut short.</summary>
/// <remarks>xunit makes an object of the class for each test; the sandboxes that the test has made end with it, all at once.</remarks>
/// <example>
/// <code>
/// [Collection("sandboxes")]
/// public sealed class FileTests(SandboxFixture sandboxes) : SandboxTest(sandboxes)
/// {
///     [SkippableFact]
///     public async Task File_Written_IsThere()
///     {
///         Sandbox sandbox = await CreateSandboxAsync();
///         await sandbox.Files.WriteTextAsync("/tmp/a", "b");
///         Assert.True(await sandbox.Files.ExistsAsync("/tmp/a"));
///     }
/// }
/// </code>
/// </example>
public abstract class SandboxTest : IAsyncLifetime
{
    private readonly SandboxFixture _fixture;
    private readonly ConcurrentBag<Sandbox> _made = [];

    /// <param name="fixture">The host of the sandboxes.</param>
    protected SandboxTest(SandboxFixture fixture)
    {
        ArgumentNullException.ThrowIfNull(fixture);
        _fixture = fixture;
    }

    /// <summary>Runs before the test. Does nothing, unless it is overridden.</summary>
    /// <returns>When the test may begin.</returns>
    public virtual Task InitializeAsync() => Task.CompletedTask;

    /// <summary>Runs after the test: ends its sandboxes. Overriding it, call the base.</summary>
    /// <returns>When nothing is left of them.</returns>
    public virtual Task DisposeAsync() => Task.WhenAll(_made.Select(static sandbox => sandbox.DisposeAsync().AsTask()));

    /// <summary>Makes a sandbox that ends with the test. Disposing of it before is allowed.</summary>
    /// <param name="spec">What it is made of. Default: see <see cref="SandboxSpec"/>.</param>
    /// <param name="member">The test. Filled in by the compiler.</param>
    /// <param name="file">The test's file. Filled in by the compiler.</param>
    /// <param name="cancellationToken">The VM is gone before the cancellation surfaces.</param>
    /// <returns>The sandbox.</returns>
    /// <exception cref="SkipException">Something that sandboxes need is missing, the image among it.</exception>
    /// <exception cref="SandboxFixtureException">The host did not start, or something is missing that must not be.</exception>
    /// <exception cref="SandboxException">The sandbox could not be made.</exception>
    protected async Task<Sandbox> CreateSandboxAsync(
        SandboxSpec? spec = null,
        [CallerMemberName] string member = "",
        [CallerFilePath] string file = "",
        CancellationToken cancellationToken = default)
    {
        Sandbox sandbox = await _fixture.CreateAsync(spec, member, file, cancellationToken).ConfigureAwait(false);
        _made.Add(sandbox);
        return sandbox;
    }
}
