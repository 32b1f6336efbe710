using System.Globalization;
using OpenSandbox.PerfHarness.Measuring;
using OpenSandbox.PerfHarness.Rows;

namespace OpenSandbox.PerfHarness;

/// <summary>Results as text.</summary>
internal static class Report
{
    internal static void Write(TextWriter output, RowResult result)
    {
        output.WriteLine($"{result.Row}  {result.Title}   goal {result.Goal}: {(result.Holds ? "HOLDS" : "DOES NOT HOLD")}");
        foreach (Figure figure in result.Figures)
        {
            output.WriteLine(
                $"    {figure.Name,-58} floor {Number(figure.Floor),9}  ours {Number(figure.Ours),9} {figure.Unit,-4}"
                    + (figure.Ratio is double ratio ? $"  {ratio.ToString("0.00", CultureInfo.InvariantCulture)}x" : "       ")
                    + (figure.Holds is bool holds ? $"  {(holds ? "holds" : "MISSED")} ({figure.Goal})" : ""));
            Write(output, "floor", figure.FloorSeries, figure.FloorCpuMilliseconds);
            Write(output, "ours", figure.OursSeries, figure.OursCpuMilliseconds);
        }
    }

    internal static void WritePending(TextWriter output, Row row) => output.WriteLine($"{row.Id}  {row.Title}   goal {row.Goal}: pending");

    private static void Write(TextWriter output, string side, Summary? series, double? cpu)
    {
        if (series is not null)
        {
            output.WriteLine(
                $"        {side,-5} n={series.Count} min {Number(series.Minimum)} p50 {Number(series.P50)} p95 {Number(series.P95)} p99 {Number(series.P99)}"
                    + (cpu is double milliseconds ? $", CPU {Number(milliseconds)} ms each" : ""));
        }
    }

    private static string Number(double? value) =>
        value is double number ? number.ToString(Math.Abs(number) >= 100 ? "0" : "0.00", CultureInfo.InvariantCulture) : "-";
}
