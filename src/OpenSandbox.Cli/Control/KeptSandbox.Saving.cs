namespace OpenSandbox.Cli.Control;

/// <summary>Operations on the sandbox as a whole. The keeper carries them through also when this side goes.</summary>
internal sealed partial class KeptSandbox
{
    /// <summary>Puts the sandbox away, and waits until its keeper is gone.</summary>
    internal async Task<HibernationRow> HibernateAsync(CancellationToken cancellationToken)
    {
        ControlFrame answer = await AskAsync(new ControlRequest { Operation = ControlOperation.Hibernate }, cancellationToken).ConfigureAwait(false);
        HibernationRow saved = ControlConnection.Parse(answer.Payload, ControlJsonContext.Default.HibernationRow);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(s_stopLimit);
        try
        {
            return (await _connection.ReadAsync(deadline.Token).ConfigureAwait(false)).IsEnd
                ? saved
                : throw new ControlProtocolException("something came after the end of the keeper");
        }
        catch (OperationCanceledException late) when (!cancellationToken.IsCancellationRequested)
        {
            throw new CliException($"sandbox {Id} is hibernated, but its keeper did not end within {s_stopLimit.TotalSeconds:0} s", late);
        }
    }

    /// <summary>Makes the sandbox stand still.</summary>
    internal async Task<PauseRow> PauseAsync(bool pageOut, CancellationToken cancellationToken)
    {
        var request = new ControlRequest { Operation = ControlOperation.Pause, Change = new ControlChange { PageOut = pageOut } };
        return ControlConnection.Parse((await AskAsync(request, cancellationToken).ConfigureAwait(false)).Payload, ControlJsonContext.Default.PauseRow);
    }

    /// <summary>Lets it go on.</summary>
    internal Task ResumeAsync(CancellationToken cancellationToken) =>
        AskAsync(new ControlRequest { Operation = ControlOperation.Resume }, cancellationToken);

    /// <summary>Saves it while it runs.</summary>
    internal async Task<CheckpointRow> CheckpointAsync(string? name, bool diskOnly, CancellationToken cancellationToken)
    {
        var request = new ControlRequest { Operation = ControlOperation.Checkpoint, Change = new ControlChange { Name = name, DiskOnly = diskOnly } };
        return ControlConnection.Parse((await AskAsync(request, cancellationToken).ConfigureAwait(false)).Payload, ControlJsonContext.Default.CheckpointRow);
    }

    /// <summary>Takes it back to a checkpoint.</summary>
    internal async Task<WakeRow> RestoreAsync(string checkpoint, bool requireMemory, bool fromDisk, CancellationToken cancellationToken)
    {
        var request = new ControlRequest
        {
            Operation = ControlOperation.Restore,
            Change = new ControlChange { Checkpoint = checkpoint, RequireMemory = requireMemory, FromDisk = fromDisk },
        };
        return ControlConnection.Parse((await AskAsync(request, cancellationToken).ConfigureAwait(false)).Payload, ControlJsonContext.Default.WakeRow);
    }

    /// <summary>Makes copies of it, which nobody keeps.</summary>
    internal async Task<string[]> ForkAsync(int count, CancellationToken cancellationToken)
    {
        var request = new ControlRequest { Operation = ControlOperation.Fork, Change = new ControlChange { Count = count } };
        ForkRow forks = ControlConnection.Parse((await AskAsync(request, cancellationToken).ConfigureAwait(false)).Payload, ControlJsonContext.Default.ForkRow);
        return forks.Ids is string[] ids && Array.TrueForAll(ids, static id => id is not null && Keeping.KeeperDirectory.IsId(id))
            ? ids
            : throw new ControlProtocolException("the keeper of the sandbox sent ids that are none");
    }

    private async Task<ControlFrame> AskAsync(ControlRequest request, CancellationToken cancellationToken)
    {
        await RequestAsync(request, cancellationToken).ConfigureAwait(false);
        return await ExpectAsync(ControlFrameKind.Result, cancellationToken).ConfigureAwait(false);
    }
}
