namespace OpenSandbox.PerfHarness.Measuring;

/// <summary>What is kept of a series of measurements, all in the figure's unit.</summary>
internal sealed record Summary(int Count, double Minimum, double P50, double P95, double P99, double Maximum);
