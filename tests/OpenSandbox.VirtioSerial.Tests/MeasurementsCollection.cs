namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>Tests that count bytes or time of the whole process run alone.</summary>
[CollectionDefinition("Measurements", DisableParallelization = true)]
public sealed class MeasurementsCollection;
