using System.Globalization;
using System.Text.Json;
using OpenSandbox.Host.Json;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Host.Usage;

/// <summary>
/// Counts for how long each sandbox runs at which size: to the second, by the hour. A file for each day; what is not written yet when the
/// server is killed is counted when it comes back and finds the sandbox running. Thread-safe.
/// </summary>
internal sealed class UsageBook
{
    /// <summary>For how many days usage is kept.</summary>
    internal const int KeptDays = 31;

    /// <summary>How many sandboxes of a day are told apart.</summary>
    internal const int MaxOfADay = 50_000;

    /// <summary>What stands for those beyond.</summary>
    internal const string Others = "other";

    private const int MaxFileBytes = 256 << 20;
    private const string DayFormat = "yyyy-MM-dd";
    private const string Ending = ".json";

    private readonly string _directory;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private readonly Lock _writing = new();
    private readonly SortedDictionary<DateOnly, Dictionary<string, UsageHour[]>> _days = [];
    private readonly Dictionary<string, Open> _open = new(StringComparer.Ordinal);
    private readonly Dictionary<string, DateTimeOffset> _left = new(StringComparer.Ordinal);
    private readonly HashSet<DateOnly> _changed = [];
    private readonly HashSet<DateOnly> _unreadable = [];

    /// <summary>Reads what was counted.</summary>
    /// <exception cref="IOException">The directory cannot be used.</exception>
    internal UsageBook(string stateDirectory, ILogger logger)
    {
        _directory = Path.Combine(stateDirectory, "api", "usage");
        _logger = logger;
        Directory.CreateDirectory(_directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        UsageDay? last = null;
        foreach (string file in Directory.EnumerateFiles(_directory).Order(StringComparer.Ordinal))
        {
            if (!file.EndsWith(Ending, StringComparison.Ordinal))
            {
                File.Delete(file); // what a killed server had begun to write
            }
            else if (DateOnly.TryParseExact(Path.GetFileNameWithoutExtension(file), DayFormat, CultureInfo.InvariantCulture, DateTimeStyles.None, out DateOnly day))
            {
                if (Read(file) is { } read)
                {
                    _days[day] = new Dictionary<string, UsageHour[]>(read.Sandboxes, StringComparer.Ordinal);
                    last = read;
                }
                else
                {
                    _unreadable.Add(day);
                }
            }
        }

        foreach (string id in last?.Running ?? [])
        {
            _left[id] = last!.CountedUntil;
        }
    }

    /// <summary>A sandbox runs at a size.</summary>
    internal void Run(string id, DateTimeOffset at, int memoryMib)
    {
        lock (_gate)
        {
            if (_open.TryGetValue(id, out Open? open))
            {
                Count(id, open, at);
                _open[id] = open with { Since = Later(open.Since, at), MemoryMib = memoryMib };
            }
            else
            {
                // It may have been running when an earlier server counted it last, and ever since.
                DateTimeOffset since = _left.Remove(id, out DateTimeOffset counted) && counted < at ? counted : at;
                _open[id] = new Open(since, memoryMib, 0);
                _changed.Add(DayOf(since));
            }
        }
    }

    /// <summary>A sandbox does not run, or not any more.</summary>
    internal void End(string id, DateTimeOffset at)
    {
        lock (_gate)
        {
            _left.Remove(id);
            if (_open.Remove(id, out Open? open))
            {
                Count(id, open, at);
            }
        }
    }

    /// <summary>What the processes of a sandbox hold: from when they were seen last, the first time from the beginning.</summary>
    internal void See(string id, long usedBytes, DateTimeOffset at)
    {
        lock (_gate)
        {
            if (_open.TryGetValue(id, out Open? open))
            {
                double used = usedBytes / (double)(1 << 20);
                Count(id, open with { UsedMib = used }, at);
                _open[id] = open with { Since = Later(open.Since, at), UsedMib = used };
            }
        }
    }

    /// <summary>The sandboxes that are counted as running.</summary>
    internal string[] Running
    {
        get
        {
            lock (_gate)
            {
                return [.. _open.Keys];
            }
        }
    }

    /// <summary>Writes what has been counted, durably, and forgets what is too old.</summary>
    /// <exception cref="IOException">It could not be written; the next call tries again.</exception>
    internal void Save(DateTimeOffset now)
    {
        lock (_writing)
        {
            DateOnly today = DayOf(now);
            var changed = new List<(DateOnly Day, UsageDay Content)>();
            var old = new List<DateOnly>();
            lock (_gate)
            {
                CountOpen(now);
                if (_open.Count > 0 || _changed.Count > 0)
                {
                    _changed.Add(today); // it says which ones run
                }

                foreach (DateOnly day in _changed)
                {
                    var content = new UsageDay
                    {
                        CountedUntil = now,
                        Running = [.. _open.Keys],
                        Sandboxes = new Dictionary<string, UsageHour[]>(_days.GetValueOrDefault(day) ?? [], StringComparer.Ordinal),
                    };
                    changed.Add((day, content)); // a copy: counting does not wait until it is written
                }

                _changed.Clear();
                while (_days.Count > 0 && _days.Keys.First() is DateOnly first && first < today.AddDays(-KeptDays))
                {
                    _days.Remove(first);
                    old.Add(first);
                }
            }

            foreach (DateOnly day in old)
            {
                File.Delete(FileOf(day));
            }

            try
            {
                foreach ((DateOnly day, UsageDay content) in changed.OrderBy(static one => one.Day))
                {
                    KeepUnreadable(day);
                    DurableFile.Replace(FileOf(day), JsonSerializer.SerializeToUtf8Bytes(content, HostJsonContext.Default.UsageDay));
                }
            }
            catch
            {
                lock (_gate)
                {
                    _changed.UnionWith(changed.Select(static one => one.Day));
                }

                throw;
            }
        }
    }

    /// <summary>The hours of a sandbox that lie in a span of time, wholly or in part, up to now.</summary>
    internal IReadOnlyList<UsagePoint> Of(string id, DateTimeOffset from, DateTimeOffset to, DateTimeOffset now)
    {
        lock (_gate)
        {
            CountOpen(now);
            return [.. PointsOf(id, from, to)];
        }
    }

    /// <summary>The hours of all sandboxes that lie in a span of time, wholly or in part, up to now.</summary>
    internal Dictionary<string, UsageHour> Sums(DateTimeOffset from, DateTimeOffset to, DateTimeOffset now)
    {
        (DateOnly Day, KeyValuePair<string, UsageHour[]>[] Sandboxes)[] days;
        lock (_gate)
        {
            CountOpen(now);
            days = [.. _days
                .Where(one => one.Key >= DayOf(from) && one.Key <= DayOf(to))
                .Select(static one => (one.Key, one.Value.ToArray()))];
        }

        // Added up outside: counting does not wait for whoever asks.
        var sums = new Dictionary<string, UsageHour>(StringComparer.Ordinal);
        foreach ((DateOnly day, KeyValuePair<string, UsageHour[]>[] sandboxes) in days)
        {
            foreach ((string id, UsageHour[] hours) in sandboxes)
            {
                if (Sum(PointsOf(day, hours, from, to)) is { Seconds: > 0 } sum)
                {
                    sums[id] = sums.TryGetValue(id, out UsageHour? before) ? Sum([new UsagePoint(from, before), new UsagePoint(from, sum)]) : sum;
                }
            }
        }

        return sums;
    }

    /// <summary>All of them together.</summary>
    internal static UsageHour Sum(IEnumerable<UsagePoint> points)
    {
        var sum = new UsageHour { Hour = 0 };
        foreach (UsagePoint point in points)
        {
            sum = sum with
            {
                Seconds = sum.Seconds + point.Used.Seconds,
                MibSeconds = sum.MibSeconds + point.Used.MibSeconds,
                UsedMibSeconds = sum.UsedMibSeconds + point.Used.UsedMibSeconds,
                PeakMib = Math.Max(sum.PeakMib, point.Used.PeakMib),
                PeakUsedMib = Math.Max(sum.PeakUsedMib, point.Used.PeakUsedMib),
            };
        }

        return sum;
    }

    private IEnumerable<UsagePoint> PointsOf(string id, DateTimeOffset from, DateTimeOffset to)
    {
        foreach ((DateOnly day, Dictionary<string, UsageHour[]> sandboxes) in _days)
        {
            foreach (UsagePoint point in PointsOf(day, sandboxes.GetValueOrDefault(id) ?? [], from, to))
            {
                yield return point;
            }
        }
    }

    private static IEnumerable<UsagePoint> PointsOf(DateOnly day, UsageHour[] hours, DateTimeOffset from, DateTimeOffset to)
    {
        foreach (UsageHour hour in hours)
        {
            var at = new DateTimeOffset(day, new TimeOnly(hour.Hour, 0), TimeSpan.Zero);
            if (at < to && at.AddHours(1) > from)
            {
                yield return new UsagePoint(at, hour);
            }
        }
    }

    private void CountOpen(DateTimeOffset now)
    {
        foreach (string id in _open.Keys.ToArray())
        {
            Open open = _open[id];
            Count(id, open, now);
            _open[id] = open with { Since = Later(open.Since, now) };
        }
    }

    // A clock that was set back adds nothing; what it counts twice or leaves out is at most the step.
    private void Count(string id, Open open, DateTimeOffset until)
    {
        DateTimeOffset at = open.Since;
        while (at < until)
        {
            DateTimeOffset next = at.AddTicks(TimeSpan.TicksPerHour - at.UtcTicks % TimeSpan.TicksPerHour);
            DateTimeOffset end = next < until ? next : until;
            Add(id, DayOf(at), at.UtcDateTime.Hour, (end - at).TotalSeconds, open);
            at = end;
        }
    }

    private void Add(string id, DateOnly day, int hour, double seconds, Open open)
    {
        if (!_days.TryGetValue(day, out Dictionary<string, UsageHour[]>? sandboxes))
        {
            _days[day] = sandboxes = new Dictionary<string, UsageHour[]>(StringComparer.Ordinal);
        }

        if (sandboxes.Count >= MaxOfADay && !sandboxes.ContainsKey(id))
        {
            id = Others;
        }

        // A new array each time: somebody may be reading the old one.
        UsageHour[] hours = sandboxes.GetValueOrDefault(id) ?? [];
        int index = Array.FindIndex(hours, one => one.Hour == hour);
        hours = index < 0 ? [.. hours, new UsageHour { Hour = hour }] : [.. hours];
        ref UsageHour counted = ref hours[index < 0 ? hours.Length - 1 : index];
        counted = counted.Add(seconds, open.MemoryMib, open.UsedMib);
        sandboxes[id] = hours;
        _changed.Add(day);
    }

    private static DateTimeOffset Later(DateTimeOffset one, DateTimeOffset other) => one > other ? one : other;

    private static DateOnly DayOf(DateTimeOffset at) => DateOnly.FromDateTime(at.UtcDateTime);

    private string FileOf(DateOnly day) => Path.Combine(_directory, day.ToString(DayFormat, CultureInfo.InvariantCulture) + Ending);

    // A day that could not be read is not written over: whoever can read it finds it beside the new one.
    private void KeepUnreadable(DateOnly day)
    {
        string file = FileOf(day);
        if (_unreadable.Contains(day) && File.Exists(file))
        {
            string aside = Path.Combine(_directory, $"{Path.GetFileNameWithoutExtension(file)}.{Guid.NewGuid():N}.unreadable{Ending}");
            File.Move(file, aside);
            HostLog.FileKept(_logger, file, aside);
        }

        _unreadable.Remove(day);
    }

    private UsageDay? Read(string file)
    {
        try
        {
            using FileStream stream = File.OpenRead(file);
            UsageDay? day = stream.Length <= MaxFileBytes ? JsonSerializer.Deserialize(stream, HostJsonContext.Default.UsageDay) : null;
            if (day is { Format: <= UsageDay.CurrentFormat } && day.Sandboxes.Values.All(static hours => hours.All(static hour => hour.Hour is >= 0 and < 24)))
            {
                return day;
            }

            HostLog.FileUnreadable(_logger, file, "it is none, or of a later format");
        }
        catch (Exception failure) when (failure is IOException or JsonException)
        {
            HostLog.FileUnreadable(_logger, file, failure.Message);
        }

        return null;
    }

    private sealed record Open(DateTimeOffset Since, int MemoryMib, double UsedMib);
}
