namespace OpenSandbox.Agent;

/// <summary>One connection to the metadata service: a request, an answer, the end. Belongs to the service's thread.</summary>
/// <param name="fd">The socket, nonblocking.</param>
/// <param name="deadline">When it ends, whatever it is doing; milliseconds of <see cref="ClockTicks"/>.</param>
internal sealed class MetadataConnection(int fd, long deadline)
{
    /// <summary>What has come.</summary>
    internal readonly byte[] Received = new byte[HttpRequest.MaxHead + HttpRequest.MaxBody];

    /// <summary>The socket.</summary>
    internal int Fd { get; } = fd;

    /// <summary>When it ends, whatever it is doing.</summary>
    internal long Deadline { get; set; } = deadline;

    /// <summary>Bytes in <see cref="Received"/>.</summary>
    internal int ReceivedCount { get; set; }

    /// <summary>The request, once it is complete.</summary>
    internal HttpRequest? Request { get; set; }

    /// <summary>The answer, once there is one.</summary>
    internal byte[]? Reply { get; set; }

    /// <summary>How much of it has been sent.</summary>
    internal int Sent { get; set; }

    /// <summary>CPU time at the beginning of a measurement.</summary>
    internal (long CpuMicroseconds, long AtMicroseconds) Sample { get; set; }

    /// <summary>When the measurement ends; 0: none is made.</summary>
    internal long SampleEnd { get; set; }
}
