using System.Diagnostics.Metrics;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using OpenSandbox.Vmm;

namespace OpenSandbox.Architecture.Tests;

/// <summary>The tables of docs/observability.md are what the code publishes.</summary>
public sealed partial class ObservabilityTests
{
    private static readonly Type s_metrics = Find("SandboxMetrics");
    private static readonly Type s_operation = Find("Operation");

    [Fact]
    public void Instruments_AreThoseOfTheTable()
    {
        var published = new List<string>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (instrument.Meter.Name == OpenSandboxTelemetry.SourceName)
                {
                    published.Add($"{instrument.Name} | {KindOf(instrument)} | {instrument.Unit}");
                    Assert.False(string.IsNullOrEmpty(instrument.Description), instrument.Name);
                }
            },
        };
        RuntimeHelpers.RunClassConstructor(s_metrics.TypeHandle);
        listener.Start();

        IEnumerable<string> told = Rows("Metrics").Select(static row => $"{row[0].Trim('`')} | {row[1]} | {row[2]}");

        Assert.NotEmpty(published);
        Assert.Equal(published.Order(StringComparer.Ordinal), told.Order(StringComparer.Ordinal));
        Assert.All(published, static name => Assert.Matches(@"^opensandbox(\.[a-z]+)+ ", name));
    }

    [Fact]
    public void Histograms_InSeconds_HaveFineBoundaries()
    {
        Histogram<double>[] histograms =
        [
            .. s_metrics.GetFields(BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
                .Where(static field => field.FieldType == typeof(Histogram<double>)).Select(static field => (Histogram<double>)field.GetValue(null)!),
        ];

        Assert.NotEmpty(histograms);
        Assert.All(histograms, static histogram =>
        {
            Assert.Equal("s", histogram.Unit);
            Assert.Contains(0.005, histogram.Advice!.HistogramBucketBoundaries!);
        });
    }

    [Fact]
    public void Activities_AreThoseOfTheTable()
    {
        PropertyInfo name = s_operation.GetProperty("Name", BindingFlags.Instance | BindingFlags.NonPublic)!;
        string[] activities =
        [
            .. s_operation.GetFields(BindingFlags.Static | BindingFlags.NonPublic)
                .Where(static field => field.FieldType == s_operation).Select(field => (string)name.GetValue(field.GetValue(null))!),
        ];

        Assert.NotEmpty(activities);
        Assert.Equal(activities.Order(StringComparer.Ordinal), Rows("Traces").Select(static row => row[0].Trim('`')).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Events_AreThoseOfTheTable()
    {
        string[][] rows = [.. Rows("Events")];

        Assert.Equal(Enum.GetNames<SandboxEventKind>(), rows.Select(static row => row[0].Trim('`')));
        Assert.All(
            rows.SelectMany(static row => Name().Matches(row[1]).Select(static match => match.Groups["name"].Value)),
            static property => Assert.NotNull(typeof(SandboxEvent).GetProperty(property)));
    }

    private static Type Find(string name) => typeof(Sandbox).Assembly.GetType($"OpenSandbox.Vmm.Telemetry.{name}", throwOnError: true)!;

    private static string KindOf(Instrument instrument) => instrument.GetType().Name.Split('`')[0] switch
    {
        "Histogram" => "histogram",
        "Counter" => "counter",
        "UpDownCounter" => "up-down counter",
        "ObservableCounter" => "observable counter",
        "ObservableUpDownCounter" => "observable up-down counter",
        string other => other,
    };

    /// <summary>The cells of the table under a heading, without its head.</summary>
    private static IEnumerable<string[]> Rows(string heading)
    {
        string section = Repository.Read("docs/observability.md").Split($"\n## {heading}\n")[1].Split("\n## ")[0];
        return section.Split('\n')
            .Where(static line => line.StartsWith('|'))
            .Skip(2)
            .Select(static line => line.Trim('|').Split('|').Select(static cell => cell.Trim()).ToArray());
    }

    [GeneratedRegex("`(?<name>[A-Za-z]+)`", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Name();
}
