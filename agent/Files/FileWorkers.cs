using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// The threads on which file operations block. One that hangs in a broken file system is lost to the others until that lets go, and more
/// are started up to a bound. Thread-safe.
/// </summary>
internal sealed class FileWorkers
{
    private const int MaxWorkers = 64;

    private readonly object _gate = new();
    private readonly Queue<FileJob> _waiting = new();
    private readonly PortWriter _writer;
    private int _workers;
    private int _idle;
    private bool _closed;

    /// <summary>Prepares; starts nothing.</summary>
    internal FileWorkers(PortWriter writer) => _writer = writer;

    /// <summary>Starts the first thread, so that none needs to be started after a restore.</summary>
    internal void StartFirst()
    {
        lock (_gate)
        {
            StartWorker();
        }
    }

    /// <summary>Hands a job to a worker.</summary>
    /// <exception cref="GuestException">All workers hang.</exception>
    internal void Submit(FileJob job)
    {
        lock (_gate)
        {
            if (_waiting.Count >= _idle)
            {
                if (_workers == MaxWorkers)
                {
                    throw GuestException.Coded(AgentErrorCodes.LimitReached, $"{MaxWorkers} file operations are under way");
                }

                StartWorker();
            }

            _waiting.Enqueue(job);
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>Ends the threads when they become idle.</summary>
    internal void Close()
    {
        lock (_gate)
        {
            _closed = true;
            Monitor.PulseAll(_gate);
        }
    }

    private void StartWorker()
    {
        _workers++;
        _idle++;
        AgentThread.Start("files", Run);
    }

    private void Run()
    {
        var output = new FrameBuffer(_writer, patient: true);
        while (true)
        {
            FileJob job;
            lock (_gate)
            {
                while (_waiting.Count == 0 && !_closed)
                {
                    Monitor.Wait(_gate);
                }

                if (_closed)
                {
                    return;
                }

                job = _waiting.Dequeue();
                _idle--;
            }

            job.RunOnWorker(output);
            lock (_gate)
            {
                _idle++;
            }
        }
    }
}
