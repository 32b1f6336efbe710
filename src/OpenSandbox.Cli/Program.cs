using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;

namespace OpenSandbox.Cli;

internal static class Program
{
    private static async Task<int> Main(string[] args)
    {
        // Writing to a full pipe blocks a pool thread; the others must not wait for the pool to notice.
        const int threads = 8;
        ThreadPool.SetMinThreads(threads, threads);
        using var signals = new TerminationSignals();
        var errors = new ErrorWriter(
            static bytes => StandardStreams.Write(StandardStreams.Error, bytes),
            Environment.GetEnvironmentVariable("OPENSANDBOX_DEBUG") is { Length: > 0 } and not "0");
        return await CommandLine.RunAsync(args, new CommandContext(signals, errors)).ConfigureAwait(false);
    }
}
