using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Cli.Running;
using OpenSandbox.Interop;

namespace OpenSandbox.Cli.Keeping;

/// <summary>The keeper's side of the pipe on which its starter waits for it.</summary>
internal sealed class KeeperChannel : IDisposable
{
    private readonly FileStream _pipe;
    private readonly Lock _gate = new();
    private bool _closed;

    private KeeperChannel(FileStream pipe) => _pipe = pipe;

    /// <summary>Takes the pipe that is standard output, before something else takes that place.</summary>
    internal static KeeperChannel Take()
    {
        using var output = new SafeFileHandle(StandardStreams.Output, ownsHandle: false);
        int copy = Libc.Fcntl(output, Libc.F_DUPFD_CLOEXEC, StandardStreams.Error + 1);
        return copy >= 0
            ? new KeeperChannel(new FileStream(new SafeFileHandle(copy, ownsHandle: true), FileAccess.Write, bufferSize: 0))
            : throw Errno.LastError("fcntl standard output");
    }

    /// <summary>Sends a message, unless the last one has been sent.</summary>
    /// <returns>Whether somebody may read it.</returns>
    internal bool TrySend(KeeperMessage message)
    {
        lock (_gate)
        {
            if (_closed)
            {
                return false;
            }

            try
            {
                byte[] json = JsonSerializer.SerializeToUtf8Bytes(message, KeeperJsonContext.Default.KeeperMessage);
                _pipe.Write([.. json, (byte)'\n']);
                if (message.Text is null)
                {
                    Close();
                }

                return true;
            }
            catch (IOException)
            {
                Close();
                return false;
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            Close();
        }
    }

    private void Close()
    {
        _closed = true;
        _pipe.Dispose();
    }
}
