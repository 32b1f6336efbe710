namespace OpenSandbox.VirtioSerial;

/// <summary>Payload of an Open frame: one operation and its parameters.</summary>
public sealed record OpenRequest
{
    /// <summary>The operation, one of <see cref="Operations"/>. Exactly the parameters of that operation are set.</summary>
    public required string Op { get; init; }

    /// <summary>Parameters of <see cref="Operations.Resume"/>.</summary>
    public ResumeRequest? Resume { get; init; }

    /// <summary>Parameters of <see cref="Operations.Exec"/>.</summary>
    public ExecRequest? Exec { get; init; }

    /// <summary>Parameters of all file operations.</summary>
    public FileRequest? File { get; init; }

    /// <summary>Parameters of <see cref="Operations.Connect"/> and <see cref="Operations.Tcp"/>.</summary>
    public TcpRequest? Tcp { get; init; }

    /// <summary>Parameters of <see cref="Operations.Dns"/>.</summary>
    public DnsRequest? Dns { get; init; }

    /// <summary>Parameters of <see cref="Operations.Scale"/>.</summary>
    public ScaleRequest? Scale { get; init; }

    /// <summary>Bytes that <see cref="Operations.Source"/> sends.</summary>
    public long? Length { get; init; }
}
