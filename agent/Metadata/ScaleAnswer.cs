namespace OpenSandbox.Agent;

/// <summary>What the host made of a request for another size.</summary>
/// <param name="Status">HTTP status: 200 when it was carried out, 400 when it may not be, 409 when it cannot be now, 503 when nobody may ask.</param>
/// <param name="MemoryMib">Memory in force.</param>
/// <param name="CpuPercent">CPU limit in force.</param>
/// <param name="Text">Why not, for people.</param>
internal sealed record ScaleAnswer(int Status, long MemoryMib, long CpuPercent, string Text);
