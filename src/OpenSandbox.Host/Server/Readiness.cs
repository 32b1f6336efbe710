namespace OpenSandbox.Host;

/// <summary>Whether sandboxes can be made: what a load balancer and an operator want to know before they send work. Thread-safe.</summary>
/// <param name="state">What the server says of itself.</param>
/// <param name="freeBytes">Room on the disk of the state directory, bytes.</param>
internal sealed class Readiness(ServerState state, Func<long> freeBytes)
{
    /// <summary>With less than that saves fail first, then guests.</summary>
    internal const long MinFreeBytes = 512L << 20;

    /// <summary>Why not; nothing when they can.</summary>
    internal string? Reason
    {
        get
        {
            if (state.NotReady is { } reason)
            {
                return reason;
            }

            try
            {
                long free = freeBytes();
                return free < MinFreeBytes ? $"the disk of the state directory is full: {free >> 20} MiB are left, {MinFreeBytes >> 20} are needed" : null;
            }
            catch (IOException failure)
            {
                return $"the disk of the state directory cannot be looked at: {failure.Message}";
            }
        }
    }
}
