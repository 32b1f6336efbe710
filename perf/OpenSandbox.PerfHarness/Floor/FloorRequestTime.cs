namespace OpenSandbox.PerfHarness.Floor;

/// <summary>One request of the floor program.</summary>
/// <param name="Microseconds">From the first byte sent to the result received.</param>
/// <param name="AgentMicroseconds">What the agent reports of it: the command's time, or the file's.</param>
/// <param name="BytesReceived">Data that the agent sent.</param>
internal readonly record struct FloorRequestTime(double Microseconds, double AgentMicroseconds, long BytesReceived);
