using System.Globalization;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Json;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Host.Usage;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>What sandboxes have used: seconds times size, by the hour.</summary>
internal sealed class UsageEndpoints(SandboxService sandboxes, UsageBook book, ServerOptions options)
{
    private const int DefaultLimit = 100;
    private const int MaxLimit = 1_000;
    private const string BySandbox = "sandbox";
    private const string ByTag = "tag:";
    private const string FilterPrefix = "filter[";

    internal void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/usage", SumAsync);
        routes.MapGet("/api/sandboxes/{id}/usage", OneAsync);
    }

    private Task OneAsync(HttpContext context)
    {
        string id = context.Text("id");
        SandboxEntry entry = sandboxes.TryGetEntry(id, out SandboxEntry? known) ? known : sandboxes.EntryOf(context.Sandbox(sandboxes));
        (DateTimeOffset from, DateTimeOffset to, DateTimeOffset now) = SpanOf(context);
        IReadOnlyList<UsagePoint> points = book.Of(id, from, to, now);
        UsageHour sum = UsageBook.Sum(points);
        var reply = new SandboxUsageReply
        {
            SandboxId = id,
            Alias = entry.Alias,
            From = from,
            To = to,
            Totals = new SandboxUsageTotalsReply(
                Gb(sum.MibSeconds), Gb(sum.UsedMibSeconds), Math.Round(sum.Seconds, 3), sum.PeakMib, Math.Round(sum.PeakUsedMib, 3)),
            Points = [.. points.Select(static point => new SandboxUsagePointReply(
                point.At,
                Gb(point.Used.MibSeconds),
                Gb(point.Used.UsedMibSeconds),
                Math.Round(point.Used.Seconds, 3),
                point.Used.PeakMib,
                point.Used.Seconds > 0 ? Math.Round(point.Used.UsedMibSeconds / point.Used.Seconds, 3) : 0,
                Math.Round(point.Used.PeakUsedMib, 3)))],
        };
        return JsonBody.WriteAsync(context, reply, HostJsonContext.Default.SandboxUsageReply);
    }

    private Task SumAsync(HttpContext context)
    {
        IQueryCollection query = context.Request.Query;
        string grouping = query["groupBy"].ToString() is { Length: > 0 } given ? given : BySandbox;
        if (grouping != BySandbox && !(grouping.StartsWith(ByTag, StringComparison.Ordinal) && grouping.Length > ByTag.Length))
        {
            throw ApiException.Bad($"groupBy '{grouping}': {BySandbox} or {ByTag}KEY");
        }

        (DateTimeOffset from, DateTimeOffset to, DateTimeOffset now) = SpanOf(context);
        int limit = NumberOf(context, "limit", DefaultLimit, 1, MaxLimit);
        int first = NumberOf(context, "cursor", 0, 0, int.MaxValue - MaxLimit);
        (string Key, string[] Values)[] filters = FiltersOf(query);
        (SandboxEntry Entry, UsageHour Used)[] used = [.. book.Sums(from, to, now)
            .Select(one => (Entry: sandboxes.Entries.Find(one.Key) ?? new SandboxEntry { Id = one.Key, StartedAt = from }, Used: one.Value))
            .Where(one => filters.All(filter => filter.Values.Contains(one.Entry.Tags.GetValueOrDefault(filter.Key, ""), StringComparer.Ordinal)))
            .OrderByDescending(static one => one.Used.MibSeconds)
            .ThenBy(static one => one.Entry.Id, StringComparer.Ordinal)];
        UsageUntaggedReply? untagged = null;
        UsageItemReply[] items;
        if (grouping == BySandbox)
        {
            items = [.. used.Select(one => new UsageItemReply
            {
                SandboxId = one.Entry.Id,
                Alias = one.Entry.Alias,
                Status = StatusOf(one.Entry),
                Tags = one.Entry.Tags,
                TagsLastUpdatedAt = one.Entry.TagsUpdatedAt,
                MemoryGbSeconds = Gb(one.Used.MibSeconds),
            })];
        }
        else
        {
            string key = grouping[ByTag.Length..];
            (SandboxEntry Entry, UsageHour Used)[] without = [.. used.Where(one => !one.Entry.Tags.ContainsKey(key))];
            untagged = new UsageUntaggedReply(Gb(without.Sum(static one => one.Used.MibSeconds)), 0, without.Length);
            items = [.. used
                .Where(one => one.Entry.Tags.ContainsKey(key))
                .GroupBy(one => one.Entry.Tags[key], StringComparer.Ordinal)
                .Select(group => new UsageItemReply
                {
                    TagKey = key,
                    TagValue = group.Key,
                    MemoryGbSeconds = Gb(group.Sum(static one => one.Used.MibSeconds)),
                    SandboxCount = group.Count(),
                })
                .OrderByDescending(static item => item.MemoryGbSeconds)
                .ThenBy(static item => item.TagValue, StringComparer.Ordinal)];
        }

        var reply = new UsageReply
        {
            From = from,
            To = to,
            GroupBy = grouping,
            Total = new UsageTotalsReply(Gb(used.Sum(static one => one.Used.MibSeconds))),
            Untagged = untagged,
            Items = [.. items.Skip(first).Take(limit)],
            NextCursor = items.Length - limit > first ? (first + limit).ToString(CultureInfo.InvariantCulture) : null,
        };
        return JsonBody.WriteAsync(context, reply, HostJsonContext.Default.UsageReply);
    }

    private string StatusOf(SandboxEntry entry) => entry.EndedAt is null && sandboxes.Host.TryGet(entry.Id, out Sandbox? sandbox)
        ? SandboxEndpoints.StatusOf(sandbox.State)
        : "stopped";

    private (DateTimeOffset From, DateTimeOffset To, DateTimeOffset Now) SpanOf(HttpContext context)
    {
        DateTimeOffset now = options.Sandboxes.TimeProvider.GetUtcNow();
        DateTimeOffset to = TimeOf(context, "to") ?? now;
        DateTimeOffset from = TimeOf(context, "from") ?? to.AddDays(-UsageBook.KeptDays);
        return from < to ? (from, to, now) : throw ApiException.Bad("from must be before to");
    }

    private static DateTimeOffset? TimeOf(HttpContext context, string name)
    {
        string text = context.Request.Query[name].ToString();
        if (text.Length == 0)
        {
            return null;
        }

        return DateTimeOffset.TryParse(
                text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out DateTimeOffset time)
            && time.Year is >= 2000 and < 9000
                ? time
                : throw ApiException.Bad($"{name} '{text}': a time such as 2026-03-01T00:00:00Z");
    }

    private static int NumberOf(HttpContext context, string name, int otherwise, int smallest, int largest)
    {
        string text = context.Request.Query[name].ToString();
        if (text.Length == 0)
        {
            return otherwise;
        }

        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= smallest && number <= largest
            ? number
            : throw ApiException.Bad($"{name} '{text}': a number from {smallest} to {largest}");
    }

    /// <summary><c>filter[tag:KEY]=A,B</c>: one of the values; an empty one stands for sandboxes without the tag.</summary>
    private static (string Key, string[] Values)[] FiltersOf(IQueryCollection query)
    {
        var filters = new List<(string, string[])>();
        foreach ((string name, Microsoft.Extensions.Primitives.StringValues values) in query)
        {
            if (!name.StartsWith(FilterPrefix, StringComparison.Ordinal))
            {
                continue;
            }

            string key = name[FilterPrefix.Length..];
            if (values.Count != 1 || !key.EndsWith(']') || !key.StartsWith(ByTag, StringComparison.Ordinal) || key.Length < ByTag.Length + 2)
            {
                throw ApiException.Bad($"{name}: filter[{ByTag}KEY], once, with values separated by commas");
            }

            filters.Add((key[ByTag.Length..^1], values.ToString().Split(',')));
        }

        return [.. filters];
    }

    private static double Gb(double mibSeconds) => Math.Round(mibSeconds / 1_024, 3);
}
