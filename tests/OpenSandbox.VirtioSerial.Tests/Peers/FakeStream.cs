using System.Threading.Channels;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>One stream as the agent sees it, with exact credit in both directions.</summary>
internal sealed class FakeStream(uint id) : IDisposable
{
    private readonly Channel<byte[]> _input = Channel.CreateUnbounded<byte[]>();
    private readonly CancellationTokenSource _cancelled = new();
    private readonly TaskCompletionSource<int> _signal = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SemaphoreSlim _creditCame = new(0);
    private readonly Lock _lock = new();
    private int _sendCredit = ProtocolConstants.CreditWindow;
    private int _outstanding;
    private int _consumed;

    internal uint Id => id;

    internal ChannelReader<byte[]> Input => _input.Reader;

    internal CancellationToken Cancelled => _cancelled.Token;

    internal Task<int> SignalTask => _signal.Task;

    internal int Received(byte[] data)
    {
        lock (_lock)
        {
            _outstanding += data.Length;
            Assert.InRange(_outstanding, 1, ProtocolConstants.CreditWindow);
            Assert.True(_input.Writer.TryWrite(data), "Data after End.");
            return _outstanding;
        }
    }

    internal void EndInput() => Assert.True(_input.Writer.TryComplete(), "A second End.");

    internal void Cancel() => _cancelled.Cancel();

    internal void Signal(int signal) => _signal.TrySetResult(signal);

    internal void Credited(int credit)
    {
        lock (_lock)
        {
            _sendCredit += credit;
            Assert.InRange(_sendCredit, 1, ProtocolConstants.CreditWindow);
        }

        _creditCame.Release();
    }

    /// <summary>Counts consumed bytes; returns the credit to send, a quarter of a window at a time.</summary>
    internal int Consumed(int count)
    {
        lock (_lock)
        {
            _consumed += count;
            if (_consumed < ProtocolConstants.CreditWindow / 4)
            {
                return 0;
            }

            int credit = _consumed;
            _consumed = 0;
            _outstanding -= credit;
            return credit;
        }
    }

    public void Dispose()
    {
        _cancelled.Dispose();
        _creditCame.Dispose();
    }

    internal async Task<int> TakeCreditAsync(int wanted)
    {
        while (true)
        {
            lock (_lock)
            {
                int count = Math.Min(Math.Min(wanted, _sendCredit), ProtocolConstants.MaxPayloadSize);
                if (count > 0)
                {
                    _sendCredit -= count;
                    Cancelled.ThrowIfCancellationRequested();
                    return count;
                }
            }

            await _creditCame.WaitAsync(Cancelled);
        }
    }
}
