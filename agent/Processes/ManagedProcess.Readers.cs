using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <content>Who reads the output and writes the input.</content>
internal sealed partial class ManagedProcess
{
    /// <summary>Streams that may be attached to one process.</summary>
    internal const int MaxReaders = 16;

    private readonly List<ProcessReader> _readers = [];
    private bool _delivering;

    /// <summary>Whether anybody is attached.</summary>
    internal bool IsRead => _readers.Count > 0;

    /// <summary>Nothing from this sequence number on may be overwritten: where the slowest lossless reader is.</summary>
    private long Hold
    {
        get
        {
            long hold = long.MaxValue;
            foreach (ProcessReader reader in _readers)
            {
                hold = reader.Lossless ? Math.Min(hold, reader.Sequence) : hold;
            }

            return hold;
        }
    }

    /// <summary>Adds a reader and sends it what is there.</summary>
    internal void Attach(ProcessReader reader)
    {
        _readers.Add(reader);
        UpdateInterest();
    }

    /// <summary>Refuses a reader too many.</summary>
    internal void EnsureRoomForReader()
    {
        if (_readers.Count >= MaxReaders)
        {
            throw GuestException.Coded(AgentErrorCodes.LimitReached, $"more than {MaxReaders} streams are attached to the process");
        }
    }

    /// <summary>A reader has gone, or has everything: it holds nothing back any more.</summary>
    internal void Remove(ProcessReader reader)
    {
        _readers.Remove(reader);
        OnProgress();
        _loop.Commands.Processes.OnReaderGone(this);
    }

    /// <summary>A reader has got further, so that there may be room.</summary>
    internal void OnProgress()
    {
        if (!_delivering)
        {
            UpdatePipes();
            PassReports();
        }
    }

    /// <inheritdoc/>
    public void UpdateInterest()
    {
        Deliver();
        UpdatePipes();
        PassReports();
    }

    /// <summary>Input of a reader.</summary>
    internal void WriteInput(ProcessReader writer, ReadOnlySpan<byte> bytes) => _input.Write(writer, bytes, Key);

    /// <summary>A reader has ended the input.</summary>
    internal void EndInput()
    {
        if (!Terminal)
        {
            _input.End();
        }
        else if (!_exited && !_output.IsClosed)
        {
            _input.TypeEnd(PseudoTerminal.EndOfFileCharacter(_output.Fd), Key);
        }
    }

    /// <summary>Sends what is there to all who have room for it.</summary>
    private void Deliver()
    {
        if (_delivering)
        {
            return;
        }

        _delivering = true;
        try
        {
            for (int i = _readers.Count - 1; i >= 0; i--)
            {
                _readers[i].Send(); // which may remove it
            }
        }
        finally
        {
            _delivering = false;
        }
    }

    /// <summary>Reads output only while the ring has room for it.</summary>
    private void UpdatePipes()
    {
        bool wanted = Ring.HasRoom(Hold);
        _output.Watch(wanted, Key);
        _error.Watch(wanted, Key);
    }
}
