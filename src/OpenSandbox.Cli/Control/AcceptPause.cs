using System.Net.Sockets;

namespace OpenSandbox.Cli.Control;

/// <summary>
/// What a loop that accepts connections does after a failure. One that lasts, such as descriptors that have run out, fails again at once:
/// then it waits longer and longer, up to <see cref="Longest"/>, and says so once.
/// </summary>
/// <remarks>For one loop.</remarks>
/// <param name="time">The clock.</param>
/// <param name="tell">Takes what is worth knowing.</param>
internal sealed class AcceptPause(TimeProvider time, Action<string> tell)
{
    /// <summary>The pause after a first failure.</summary>
    internal static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(10);

    /// <summary>The longest pause: by so much a connection is late once there are descriptors again.</summary>
    internal static readonly TimeSpan Longest = TimeSpan.FromSeconds(1);

    private TimeSpan _next = Shortest;
    private SocketError _told = SocketError.Success;

    /// <summary>A connection was accepted.</summary>
    internal void Reset()
    {
        _next = Shortest;
        _told = SocketError.Success;
    }

    /// <summary>A connection could not be accepted: waits a while.</summary>
    /// <exception cref="OperationCanceledException">The loop is to end.</exception>
    internal Task AfterAsync(SocketException failure, CancellationToken ending)
    {
        if (failure.SocketErrorCode != _told)
        {
            _told = failure.SocketErrorCode;
            tell($"a connection could not be accepted: {failure.Message}");
        }

        TimeSpan pause = _next;
        _next = pause * 2 < Longest ? pause * 2 : Longest;
        return Task.Delay(pause, time, ending);
    }
}
