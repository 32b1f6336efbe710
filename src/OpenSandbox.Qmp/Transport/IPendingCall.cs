namespace OpenSandbox.Qmp.Transport;

/// <summary>A command that waits for its reply. Whoever takes it out of the client's table completes it; that happens once.</summary>
internal interface IPendingCall
{
    /// <summary>The command's id.</summary>
    long Id { get; }

    /// <summary>The command's name.</summary>
    string Command { get; }

    /// <summary>When it expires, as a timestamp of the client's clock.</summary>
    long Deadline { get; }

    /// <summary>The limit that it was given.</summary>
    TimeSpan Limit { get; }

    /// <summary>Completes with what QEMU returned.</summary>
    /// <exception cref="QmpProtocolException">The value has the wrong shape; the call is not completed.</exception>
    void Return(ReadOnlySpan<byte> json);

    /// <summary>Completes with a failure.</summary>
    void Fail(Exception exception);

    /// <summary>Completes as cancelled by the caller.</summary>
    void Cancel(CancellationToken cancellationToken);
}
