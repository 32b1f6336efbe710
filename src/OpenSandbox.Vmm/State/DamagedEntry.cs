namespace OpenSandbox.Vmm.State;

/// <summary>Something in a state directory that cannot be read. It is never changed or removed without being asked for by its id.</summary>
/// <param name="Id">The id that its directory's name is; <see langword="null"/>: the name is none.</param>
/// <param name="Path">Where it is.</param>
/// <param name="Problem">What is wrong, for people.</param>
internal sealed record DamagedEntry(string? Id, string Path, string Problem);
