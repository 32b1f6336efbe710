using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>What a launcher says of a start, up to QEMU's exec or its own end.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class LauncherReport : IAsyncDisposable
{
    private const int MaxBytes = 4_096;
    private readonly Socket _socket;

    /// <param name="socket">Our end of the launcher's status descriptor; owned from here on.</param>
    internal LauncherReport(Socket socket)
    {
        _socket = socket;
        Text = ReadAsync(socket);
    }

    /// <summary>All of it, when it is complete. Never fails.</summary>
    internal Task<string> Text { get; }

    /// <summary>QEMU's process id, from a complete report; null if there is none.</summary>
    internal static int? FindPid(string text)
    {
        const string label = "pid ";
        foreach (string line in text.Split('\n'))
        {
            if (line.StartsWith(label, StringComparison.Ordinal)
                && int.TryParse(line.AsSpan(label.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int pid))
            {
                return pid;
            }
        }

        return null;
    }

    /// <summary>What went wrong, from a complete report; null if nothing did.</summary>
    internal static string? FindError(string text)
    {
        const string label = "error ";
        foreach (string line in text.Split('\n'))
        {
            if (line.StartsWith(label, StringComparison.Ordinal))
            {
                return line[label.Length..];
            }
        }

        return null;
    }

    /// <summary>What could not be had and was not required, from a complete report: <c>CONTROL</c> or <c>CONTROL: WHY</c>.</summary>
    internal static IReadOnlyList<string> FindMissing(string text)
    {
        const string label = "missing ";
        return [.. text.Split('\n').Where(static line => line.StartsWith(label, StringComparison.Ordinal)).Select(static line => line[label.Length..])];
    }

    /// <summary>As <see cref="FindError"/>, for a start that is known to have failed.</summary>
    internal static string DescribeFailure(string text) => FindError(text) ?? "the launcher ended without a report";

    public async ValueTask DisposeAsync()
    {
        _socket.Dispose();
        await Text.ConfigureAwait(false);
    }

    private static async Task<string> ReadAsync(Socket socket)
    {
        var text = new StringBuilder();
        byte[] buffer = new byte[256];
        try
        {
            int count;
            while (text.Length < MaxBytes && (count = await socket.ReceiveAsync(buffer).ConfigureAwait(false)) > 0)
            {
                text.Append(Encoding.ASCII.GetString(buffer, 0, count));
            }
        }
        catch (Exception closed) when (closed is SocketException or ObjectDisposedException)
        {
            text.Append(CultureInfo.InvariantCulture, $"\nerror status: {closed.Message}");
        }
        finally
        {
            socket.Dispose();
        }

        return text.ToString();
    }
}
