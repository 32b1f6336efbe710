namespace OpenSandbox.Host.Records;

/// <summary>How a sandbox's size follows its load. Immutable.</summary>
/// <param name="Enabled">Whether it does.</param>
/// <param name="MinMemoryMib">Smallest size.</param>
/// <param name="MaxMemoryMib">Largest size.</param>
internal sealed record AutoscaleSettings(bool Enabled, int MinMemoryMib, int MaxMemoryMib);
