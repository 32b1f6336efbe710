using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;
using OpenSandbox.Host.Metrics;

namespace OpenSandbox.Host.Tests;

[Collection(ServerFixture.Collection)]
public sealed partial class MetricsTests(ServerFixture fixture)
{
    [Theory]
    [InlineData("opensandbox.exec.duration", "s", false, "opensandbox_exec_duration_seconds")]
    [InlineData("opensandbox.errors", "{error}", true, "opensandbox_errors_total")]
    [InlineData("opensandbox.egress.io", "By", true, "opensandbox_egress_io_bytes_total")]
    [InlineData("http.server.active_requests", "{request}", false, "http_server_active_requests")]
    [InlineData("dotnet.process.cpu.time", "s", true, "dotnet_process_cpu_time_seconds_total")]
    [InlineData("a.bytes", "By", false, "a_bytes")]
    [InlineData("a-b/c", null, false, "a_b_c")]
    public void Names_FollowTheConvention(string name, string? unit, bool monotonic, string expected) => Assert.Equal(expected, MetricNames.Of(name, unit, monotonic));

    [Fact]
    public void Labels_AnyValue_IsEscaped()
    {
        Span<char> buffer = stackalloc char[200];

        Assert.True(MetricNames.TryWriteLabels(buffer, [new("a.b", "x\"y\\z\n"), new("n", 7), new("f", true), new("none", null)], out int length));
        Assert.Equal("""a_b="x\"y\\z\n",n="7",f="true",none="" """.TrimEnd(), buffer[..length].ToString());
        Assert.False(MetricNames.TryWriteLabels(buffer, [new("a", new string('a', 300))], out _));
    }

    [Fact]
    public void Report_EachKind_IsTold()
    {
        using ServiceProvider services = Services();
        IMeterFactory meters = services.GetRequiredService<IMeterFactory>();
        using var report = new MetricsReport(meters);
        using Meter meter = meters.Create("Microsoft.AspNetCore.Hosting");
        Counter<long> counter = meter.CreateCounter<long>("t.counter", "{thing}", "Things.\nMany.");
        UpDownCounter<int> upDown = meter.CreateUpDownCounter<int>("t.updown");
        Histogram<double> histogram = meter.CreateHistogram("t.histogram", "s", "Times.", tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.1, 1] });
        List<Measurement<long>> observed = [new(3, new KeyValuePair<string, object?>("state", "a"))];
        meter.CreateObservableGauge("t.observed", () => observed);

        counter.Add(2);
        counter.Add(3);
        upDown.Add(5, new KeyValuePair<string, object?>("k", "v"));
        upDown.Add(-2, new KeyValuePair<string, object?>("k", "v"));
        foreach (double time in (double[])[0.05, 0.1, 0.5, 7])
        {
            histogram.Record(time);
        }

        string first = report.Write();
        observed = [new(4, new KeyValuePair<string, object?>("state", "b"))];
        string second = report.Write();

        Assert.Contains("# HELP t_counter_total Things.\\nMany.\n# TYPE t_counter_total counter\nt_counter_total 5\n", first, StringComparison.Ordinal);
        Assert.Contains("# TYPE t_updown gauge\nt_updown{k=\"v\"} 3\n", first, StringComparison.Ordinal);
        Assert.Contains(
            "t_histogram_seconds_bucket{le=\"0.1\"} 2\nt_histogram_seconds_bucket{le=\"1\"} 3\nt_histogram_seconds_bucket{le=\"+Inf\"} 4\nt_histogram_seconds_sum 7.65\nt_histogram_seconds_count 4\n",
            first, StringComparison.Ordinal);
        Assert.Contains("t_observed{state=\"a\"} 3\n", first, StringComparison.Ordinal);
        Assert.DoesNotContain("state=\"a\"", second, StringComparison.Ordinal);
        Assert.Contains("t_observed{state=\"b\"} 4\n", second, StringComparison.Ordinal);
    }

    [Fact]
    public void Report_AnyNumberOfCombinations_TakesBoundedMemory()
    {
        using ServiceProvider services = Services();
        IMeterFactory meters = services.GetRequiredService<IMeterFactory>();
        using var report = new MetricsReport(meters);
        using Meter meter = meters.Create("Microsoft.AspNetCore.Hosting");
        Counter<long> counter = meter.CreateCounter<long>("t.many");
        for (int i = 0; i < 5_000; i++)
        {
            counter.Add(1, new KeyValuePair<string, object?>("i", i));
        }

        string[] lines = [.. report.Write().Split('\n').Where(static line => line.StartsWith("t_many_total{", StringComparison.Ordinal))];

        Assert.InRange(lines.Length, 2, MetricFamily.MaxSeries + 1);
        Assert.Equal(5_000, lines.Sum(static line => int.Parse(line.Split(' ')[1], CultureInfo.InvariantCulture)));
    }

    [Fact]
    public void Report_MetersOfOtherServers_AreNotItsOwn()
    {
        using ServiceProvider services = Services();
        using var report = new MetricsReport(services.GetRequiredService<IMeterFactory>());
        using ServiceProvider others = Services();
        others.GetRequiredService<IMeterFactory>().Create("Microsoft.AspNetCore.Hosting").CreateCounter<long>("t.other").Add(1);

        Assert.DoesNotContain("t_other", report.Write(), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Metrics_OfAServer_AreWellFormedAndTellOfItsWork()
    {
        await fixture.DoAsync("POST", $"/api/sandboxes/{fixture.Sandbox}/exec/run", """{"cmd":"true"}""");
        RawAnswer answer = await fixture.DoAsync("GET", "/metrics");

        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", answer.Headers["Content-Type"]);
        string[] lines = answer.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.All(lines, static line => Assert.Matches(Line(), line));
        Assert.Equal(lines.Length, lines.Distinct(StringComparer.Ordinal).Count());
        foreach (string name in (string[])["opensandbox_exec_duration_seconds_count", "opensandbox_sandbox_count{", "opensandbox_sandbox_start_duration_seconds_bucket{", "http_server_request_duration_seconds_count{", "kestrel_active_connections{", "dotnet_gc_collections_total{", "dotnet_process_memory_working_set_bytes"])
        {
            Assert.Contains(lines, line => line.StartsWith(name, StringComparison.Ordinal));
        }

        Assert.DoesNotContain(fixture.Sandbox, answer.Text, StringComparison.Ordinal); // ids are no labels
    }

    [SkippableFact]
    public async Task Metrics_WithoutKey_AreNotTold()
    {
        _ = fixture.Server;
        RawAnswer answer = await RawHttp.SendAsync(fixture.EndPoint, RawHttp.Request("GET", "/metrics", null));

        Assert.Equal(401, answer.Status);
    }

    private static ServiceProvider Services() => new ServiceCollection().AddMetrics().BuildServiceProvider();

    [GeneratedRegex("""^(# (HELP|TYPE) [a-z_0-9]+ .*|[a-z_0-9]+(\{[a-z_0-9]+="([^"\\\n]|\\["\\n])*"(,[a-z_0-9]+="([^"\\\n]|\\["\\n])*")*\})? [-+0-9.eE]+)$""", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Line();
}
