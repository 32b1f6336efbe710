namespace OpenSandbox.VirtioSerial;

/// <summary>Parameters of the operations on one process.</summary>
public sealed record ProcessRequest
{
    /// <summary>The process: 8 hexadecimal digits.</summary>
    public required string Id { get; init; }

    /// <summary>Attach: first byte of output wanted; absent: see <see cref="FromNow"/>. Log: first byte wanted; absent: the oldest kept.</summary>
    public long? From { get; init; }

    /// <summary>Attach, without <see cref="From"/>: only output from now on; otherwise everything that is kept.</summary>
    public bool FromNow { get; init; }

    /// <summary>Attach: this stream's output never has a gap; the process waits instead.</summary>
    public bool Lossless { get; init; }

    /// <summary>Attach: this stream may send standard input.</summary>
    public bool Input { get; init; }

    /// <summary>Log: at most so many bytes, 1 to 16,777,216.</summary>
    public int? Length { get; init; }

    /// <summary>Signal: its number, 1 to 64.</summary>
    public int? Signal { get; init; }

    /// <summary>Signal: SIGKILL to every process of the cgroup instead of the signal to the process group.</summary>
    public bool WholeCgroup { get; init; }

    /// <summary>Signal: none, but remember which processes are in the cgroup now.</summary>
    public bool Mark { get; init; }

    /// <summary>
    /// Signal: SIGKILL to the process itself, and to what came into its cgroup since <see cref="Mark"/>, except what processes from before
    /// have started.
    /// </summary>
    public bool SinceMark { get; init; }

    /// <summary>Resize: columns, 1 to 65,535.</summary>
    public int? Columns { get; init; }

    /// <summary>Resize: rows, 1 to 65,535.</summary>
    public int? Rows { get; init; }
}
