namespace OpenSandbox.Agent;

/// <summary>
/// A thread that is there before it is needed: after a restore, starting one costs tens of milliseconds of first-time work. Runs one thing
/// after the other. Thread-safe.
/// </summary>
internal sealed class AgentWorker
{
    private readonly object _gate = new();
    private readonly Queue<Action> _work = new();

    /// <summary>Starts the thread.</summary>
    /// <param name="name">Its name.</param>
    internal AgentWorker(string name) => AgentThread.Start(name, Run);

    /// <summary>Hands something to the thread. It must not throw.</summary>
    internal void Post(Action action)
    {
        lock (_gate)
        {
            _work.Enqueue(action);
            Monitor.Pulse(_gate);
        }
    }

    private void Run()
    {
        while (true)
        {
            Action action;
            lock (_gate)
            {
                while (_work.Count == 0)
                {
                    Monitor.Wait(_gate);
                }

                action = _work.Dequeue();
            }

            action();
        }
    }
}
