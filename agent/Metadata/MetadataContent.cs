using System.Buffers;
using System.Text.Json;
using OpenSandbox.Cgroups;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>What the metadata service says.</summary>
/// <param name="state">Who the sandbox is.</param>
/// <param name="cgroups">Its limits.</param>
/// <param name="traffic">What went over its network.</param>
internal sealed class MetadataContent(GuestState state, SandboxCgroup cgroups, NetworkTraffic traffic)
{
    /// <summary><c>GET /</c>.</summary>
    internal static HttpReply Index() => Write(static json =>
    {
        json.WriteStartArray("endpoints");
        foreach (string path in (ReadOnlySpan<string>)["/v1/status", "/v1/limits", "/v1/metadata", "/v1/scale"])
        {
            json.WriteStringValue(path);
        }

        json.WriteEndArray();
    });

    /// <summary><c>GET /v1/status</c>.</summary>
    internal HttpReply Status()
    {
        (SandboxDescription? description, long resumedAt) = state.Identity;
        return Write(json =>
        {
            json.WriteString("sandboxId", description?.SandboxId ?? "");
            json.WriteNumber("uptime", (ClockTicks.Milliseconds - resumedAt) / 1000.0);
        });
    }

    /// <summary><c>GET /v1/metadata</c>.</summary>
    internal HttpReply Metadata()
    {
        Dictionary<string, string> entries = state.Identity.Description?.Metadata ?? [];
        return Write(json =>
        {
            foreach ((string name, string value) in entries)
            {
                json.WriteString(name, value);
            }
        });
    }

    /// <summary>CPU time of the sandbox's processes, and when: the first half of <see cref="Limits"/>.</summary>
    internal (long CpuMicroseconds, long AtMicroseconds) SampleCpu()
    {
        using Cgroup group = cgroups.OpenGroup();
        return (group.CpuMicroseconds, ClockTicks.Microseconds);
    }

    /// <summary><c>GET /v1/limits</c>, with the CPU used since a sample.</summary>
    internal HttpReply Limits((long CpuMicroseconds, long AtMicroseconds) since)
    {
        using Cgroup group = cgroups.OpenGroup();
        var limits = new RunningLimits(group);
        double elapsed = Math.Max(1, ClockTicks.Microseconds - since.AtMicroseconds);
        double cpu = Math.Round(100.0 * (group.CpuMicroseconds - since.CpuMicroseconds) / elapsed, 2);
        long used = limits.MemoryInUse();
        long limit = limits.MemoryMax() ?? GuestMemory.TotalBytes();
        long pids = limits.Pids();
        return Write(json =>
        {
            json.WriteNumber("cpuPercent", cpu);
            json.WriteNumber("memUsage", used);
            json.WriteNumber("memLimit", limit);
            json.WriteNumber("pids", pids);
            json.WriteNumber("netInput", traffic.Received);
            json.WriteNumber("netOutput", traffic.Sent);
        });
    }

    /// <summary>Parses the body of <c>POST /v1/scale</c>: <c>{"memoryMB":N,"cpuPercent":N}</c>, the second optional.</summary>
    internal static bool TryParseScale(ReadOnlySpan<byte> body, out long memoryMib, out long? cpuPercent)
    {
        memoryMib = 0;
        cpuPercent = null;
        var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = 8 });
        try
        {
            bool hasMemory = false;
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            {
                return false;
            }

            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueTextEquals("memoryMB"u8))
                {
                    hasMemory = reader.Read() && reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out memoryMib);
                    if (!hasMemory)
                    {
                        return false;
                    }
                }
                else if (reader.ValueTextEquals("cpuPercent"u8))
                {
                    if (!reader.Read() || reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long cpu))
                    {
                        return false;
                    }

                    cpuPercent = cpu;
                }
                else
                {
                    reader.Skip();
                }
            }

            return hasMemory && memoryMib > 0 && cpuPercent is null or > 0 && reader.TokenType == JsonTokenType.EndObject && !reader.Read();
        }
        catch (Exception broken) when (broken is JsonException or InvalidOperationException)
        {
            return false;
        }
    }

    /// <summary>The answer to <c>POST /v1/scale</c>.</summary>
    internal static HttpReply Scaled(ScaleAnswer answer) => answer.Status != 200 ? HttpReply.Error(answer.Status, answer.Text) : Write(json =>
    {
        json.WriteBoolean("ok", true);
        json.WriteNumber("memoryMB", answer.MemoryMib);
        json.WriteNumber("cpuPercent", answer.CpuPercent);
    });

    private static HttpReply Write(Action<Utf8JsonWriter> fields)
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            fields(json);
            json.WriteEndObject();
        }

        return HttpReply.Json(buffer.WrittenSpan.ToArray());
    }
}
