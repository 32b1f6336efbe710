using System.Text.Json;
using OpenSandbox.PerfHarness;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Rows;
using OpenSandbox.Vmm;

const int Failed = 1;
const int DoesNotHold = 2;
const int WrongArguments = 64;

HarnessOptions options;
IReadOnlyList<Row> rows;
try
{
    options = HarnessOptions.Parse(args);
    rows = RowCatalog.Choose(options.Rows);
}
catch (ArgumentException wrong)
{
    await Console.Error.WriteLineAsync($"bench: {wrong.Message}\n{HarnessOptions.Usage}").ConfigureAwait(false);
    return WrongArguments;
}

if (options.List)
{
    foreach (Row row in RowCatalog.All)
    {
        Console.WriteLine($"{row.Id,-11}{(row.IsPending ? "pending  " : "         ")}{row.Title}   goal {row.Goal}");
    }

    return 0;
}

using var interrupted = new CancellationTokenSource();
Console.CancelKeyPress += (_, press) =>
{
    press.Cancel = true;
    interrupted.Cancel();
};

var results = new List<RowResult>();
bool failed = false;
try
{
    Bench bench = await Bench.StartAsync(options.Count, interrupted.Token).ConfigureAwait(false);
    await using (bench.ConfigureAwait(false))
    {
        Console.WriteLine(bench.Machine);
        foreach (Row row in rows)
        {
            if (row.IsPending)
            {
                Report.WritePending(Console.Out, row);
                continue;
            }

            try
            {
                RowResult result = RowResult.From(row, bench.Machine, await row.RunAsync(bench, interrupted.Token).ConfigureAwait(false));
                Bench.Progress("");
                Report.Write(Console.Out, result);
                results.Add(result);
            }
            catch (Exception failure) when (failure is SandboxException or IOException or InvalidOperationException or TimeoutException or InvalidDataException)
            {
                // The other rows still say something.
                Bench.Progress("");
                await Console.Error.WriteLineAsync($"bench: {row.Id} failed: {failure}").ConfigureAwait(false);
                failed = true;
                await bench.EndFloorsAsync().ConfigureAwait(false);
            }
        }
    }
}
catch (Exception failure) when (failure is SandboxException or IOException)
{
    await Console.Error.WriteLineAsync($"bench: {failure.Message}").ConfigureAwait(false);
    return Failed;
}
catch (OperationCanceledException) when (interrupted.IsCancellationRequested)
{
    await Console.Error.WriteLineAsync("bench: interrupted").ConfigureAwait(false);
    return Failed;
}

if (options.JsonFile is not null)
{
    await File.WriteAllBytesAsync(
        options.JsonFile, JsonSerializer.SerializeToUtf8Bytes<IReadOnlyList<RowResult>>(results, ResultsJsonContext.Default.IReadOnlyListRowResult)).ConfigureAwait(false);
}

return failed ? Failed : options.Strict && results.Exists(static result => !result.Holds) ? DoesNotHold : 0;
