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

    /// <summary>Parameters of <see cref="Operations.Start"/>.</summary>
    public ProcessStartRequest? Start { get; init; }

    /// <summary>Parameters of the operations on one process.</summary>
    public ProcessRequest? Process { get; init; }

    /// <summary>Parameters of all file operations.</summary>
    public FileRequest? File { get; init; }

    /// <summary>Parameters of <see cref="Operations.Connect"/> and <see cref="Operations.Tcp"/>.</summary>
    public TcpRequest? Tcp { get; init; }

    /// <summary>Parameters of <see cref="Operations.Dns"/>.</summary>
    public DnsRequest? Dns { get; init; }

    /// <summary>Parameters of <see cref="Operations.Scale"/>.</summary>
    public ScaleRequest? Scale { get; init; }

    /// <summary>Parameters of <see cref="Operations.Search"/>.</summary>
    public SearchRequest? Search { get; init; }

    /// <summary>Parameters of <see cref="Operations.Move"/> and <see cref="Operations.Copy"/>.</summary>
    public MoveRequest? Move { get; init; }

    /// <summary>Parameters of <see cref="Operations.Attributes"/>.</summary>
    public AttributesRequest? Attributes { get; init; }

    /// <summary>Parameters of <see cref="Operations.Replace"/>.</summary>
    public ReplaceRequest? Replace { get; init; }

    /// <summary>Parameters of <see cref="Operations.ReadMany"/> and <see cref="Operations.StatMany"/>.</summary>
    public PathsRequest? Many { get; init; }

    /// <summary>Parameters of <see cref="Operations.Watch"/>.</summary>
    public WatchRequest? Watch { get; init; }

    /// <summary>Parameters of <see cref="Operations.Limits"/>.</summary>
    public LimitsRequest? Limits { get; init; }

    /// <summary>Bytes that <see cref="Operations.Source"/> sends.</summary>
    public long? Length { get; init; }
}
