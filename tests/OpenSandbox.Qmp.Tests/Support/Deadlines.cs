namespace OpenSandbox.Qmp.Tests.Support;

/// <summary>A test that waits for nothing fails instead of hanging.</summary>
internal static class Deadlines
{
    internal static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    internal static Task<T> Soon<T>(this Task<T> task) => task.WaitAsync(Limit);

    internal static Task Soon(this Task task) => task.WaitAsync(Limit);

    internal static Task<T> Soon<T>(this ValueTask<T> task) => task.AsTask().WaitAsync(Limit);
}
